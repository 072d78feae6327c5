"""Running a tool: its log, its files, its limits, and that it is tried again."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from examples.tools.tests.conftest import alive, until_gone
from tests.commands import until
from tools.settings import RETRY_SECONDS
from tools.tasks.jobs import run_tool

if TYPE_CHECKING:
    from pathlib import Path

    from examples.tools.tests.conftest import Runner


def test_a_tool_leaves_its_log_in_rows_and_its_files_in_a_directory(runner: Runner) -> None:
    job = runner.end_of(runner.send("steps", {"word": "hé; $(id)"}))
    assert (job.state, job.error) == ("completed", None)
    assert job.files == [{"name": "d/out.txt", "bytes": 11}]
    assert (runner.output / str(job.id) / "d/out.txt").read_text() == "hé; $(id)\n"
    assert job.duration_seconds is not None
    assert job.duration_seconds >= 1.5
    assert runner.log(job.id) == "1/3\n2/3\n3/3\n"
    assert not (runner.output / ".runs" / str(job.id)).exists()


def test_the_tool_of_the_code_runs(runner: Runner) -> None:
    job = runner.end_of(runner.send("primes", {"last": 2000}))
    assert job.state == "completed", job.error
    assert (runner.output / str(job.id) / "primes.txt").read_text().endswith("\n1999\n")


def test_a_tool_knows_no_variable_of_the_worker(runner: Runner) -> None:
    job = runner.end_of(runner.send("environment"))
    names = {line.partition("=")[0] for line in runner.log(job.id).splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "LANG", "HOME", "TMPDIR"}


def test_memory_beyond_its_limit_is_refused(runner: Runner) -> None:
    job = runner.end_of(runner.send("hungry"))
    assert (job.state, job.error) == ("failed", "hungry ended with 1.")
    assert runner.log(job.id).endswith("MemoryError\n")


def test_a_log_is_cut_at_its_limit_with_a_sentence_and_the_tool_goes_on(runner: Runner) -> None:
    job = runner.end_of(runner.send("chatty"))
    assert job.state == "completed"
    kept, sentence = runner.log(job.id)[:10_000], runner.log(job.id)[10_000:]
    assert kept == "y\n" * 5000
    assert sentence == "\nThe log is longer than 10,000 bytes: the rest was left out.\n"


def test_a_file_beyond_its_limit_is_cut(runner: Runner) -> None:
    job = runner.end_of(runner.send("large"))
    assert job.files == [{"name": "large", "bytes": 1_000_000}]
    assert runner.log(job.id) != "0\n"


def test_time_beyond_its_limit_ends_it_and_it_is_not_tried_again(runner: Runner, mark: str) -> None:
    job = runner.end_of(runner.send("slow", {"mark": mark}))
    assert (job.state, job.error) == ("failed", "slow ran for longer than 5 s and was ended.")
    assert (job.attempt, runner.log(job.id)) == (1, "begins\n")
    assert alive(mark) == []


@pytest.mark.parametrize(
    ("hard_seconds", "sentence"),
    [
        (60, "It ran for longer than 55 minutes and was ended."),
        # Before its process that ignores SIGTERM is killed.
        (7, "It took longer than its time limit and was stopped."),
    ],
)
def test_the_time_limits_of_the_task_end_all_of_the_tool(
    runner: Runner, mark: str, hard_seconds: int, sentence: str
) -> None:
    job = runner.end_of(runner.send("tree", {"mark": mark}, soft_time_limit=6, time_limit=hard_seconds))
    assert (job.state, job.error) == ("failed", sentence)
    until_gone(mark)


def test_what_a_tool_leaves_behind_ends_with_it(runner: Runner, mark: str) -> None:
    job = runner.end_of(runner.send("leaves", {"mark": mark}))
    assert (job.state, runner.log(job.id)) == ("completed", "left\n")
    assert alive(mark) == []


def test_what_fails_is_tried_three_times_again_after_a_pause(runner: Runner, tmp_path: Path) -> None:
    job = runner.end_of(runner.send("fails", {"file": str(tmp_path / "times")}))
    assert (job.state, job.error, job.attempt) == ("failed", "fails ended with 3.", 4)
    times = [float(line) for line in (tmp_path / "times").read_text().splitlines()]
    assert len(times) == 4
    assert all(second - first >= 0.5 for first, second in pairwise(times))
    assert [runner.log(job.id, attempt) for attempt in (1, 2, 3, 4, 5)] == ["about to fail\n"] * 4 + [""]


def test_the_soft_and_hard_limits_and_the_retries_are_as_promised() -> None:
    assert (run_tool.soft_time_limit, run_tool.time_limit) == (55 * 60, 60 * 60)
    assert (run_tool.policy.retries, RETRY_SECONDS.default) == (3, 60.0)


@pytest.mark.parametrize(
    ("tool", "parameters", "sentence"),
    [
        (
            "missing",
            {},
            "no-such-program-anywhere is not installed on this host, or not where it was looked for.",
        ),
        ("nothing", {}, "There is no tool 'nothing'."),
        ("steps", {"word": "-rf"}, "The parameter word of steps begins with -, as an option would."),
    ],
)
def test_what_cannot_be_run_fails_at_once_with_a_sentence(
    runner: Runner, tool: str, parameters: dict[str, Any], sentence: str
) -> None:
    job = runner.end_of(runner.send(tool, parameters))
    assert (job.state, job.error, job.attempt) == ("failed", sentence, 1)


def test_of_two_messages_of_one_job_one_runs(runner: Runner, tmp_path: Path) -> None:
    parameters = {"path": str(tmp_path / "gate")}
    job_id = runner.send("waits", parameters)
    runner.send("waits", parameters, job_id)
    until((tmp_path / "gate.began").exists)
    (tmp_path / "gate.go").touch()
    assert runner.end_of(job_id).state == "completed"
    assert len((tmp_path / "gate.began").read_text().splitlines()) == 1


def test_a_killed_launcher_leaves_no_process_of_its_group(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    job_id = runner.send("waits", {"path": str(path)})
    until((tmp_path / "gate.began").exists)
    (launcher, *_) = [pid for pid in alive(str(path)) if "launcher.py" in " ".join(_command(pid))]
    os.kill(launcher, 9)
    until(lambda: (job := runner.job(job_id)) and job.attempt == 2)
    until(lambda: len((tmp_path / "gate.began").read_text().splitlines()) == 2)
    (tmp_path / "gate.go").touch()
    assert runner.end_of(job_id).state == "completed"
    until_gone(str(path))


def _command(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123
        return file.read().split("\0")
