"""What is answered from a heartbeat, and which directory of heartbeats is believed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ibutsu_tasks.health import heartbeat, metrics
from ibutsu_tasks.health.heartbeat import Heartbeat, private_directory, read_all, remove_left, write
from ibutsu_tasks.health.probe import answer_plain, ask
from ibutsu_tasks.health.questions import answer

NOW = 1000.0
BEAT = Heartbeat("worker", "w@host", heartbeat.host_name(), os.getpid(), "then", "now", NOW, NOW)

CASES = [
    ("live", {}, True),
    ("live", {"ticked": NOW - 59}, True),
    ("live", {"ticked": NOW - 61}, False),
    ("live", {"ticked": NOW - 4000, "busy": "a task runs"}, True),
    ("live", {"ticked": NOW - 4000, "written": NOW - 61, "busy": "a task runs"}, False),
    ("live", {"ticked": NOW + 1}, False),  # of before the machine started anew
    ("live", {"hindrance": "no broker"}, True),
    ("ready", {}, True),
    ("ready", {"hindrance": "no broker"}, False),
    ("ready", {"ticked": NOW - 61}, False),
    ("startup", {"hindrance": "no broker"}, False),
    ("startup", {"hindrance": "no broker", "was_ready": True}, True),
    ("startup", {"ticked": NOW - 61, "was_ready": True}, True),
]


@pytest.mark.parametrize(("question", "fields", "holds"), CASES)
def test_answers(question: str, fields: dict[str, object], holds: bool) -> None:
    told = answer(question, BEAT._replace(**fields), NOW)  # type: ignore[arg-type]
    assert told.holds == holds
    assert (" not " in told.sentence) == (not holds)
    assert told.sentence.startswith("worker w@host (process ")
    assert told.sentence.endswith(".")


def test_a_heartbeat_is_read_as_it_was_written(tmp_path: Path) -> None:
    directory = private_directory(tmp_path)
    assert read_all(directory) == []
    beat = BEAT._replace(queues=["celery"], is_connected=True, was_ready=True)
    write(beat, directory)
    write(beat._replace(role="beat"), directory)
    assert [one.role for one in read_all(directory)] == ["beat", "worker"]
    assert read_all(directory)[1] == beat
    Path(directory, "torn.json").write_text('{"role": ', encoding="utf-8")
    assert len(read_all(directory)) == 2


def test_heartbeats_that_others_may_write_are_not_believed(tmp_path: Path) -> None:
    directory = private_directory(tmp_path)
    write(BEAT, directory)
    Path(directory).chmod(0o777)
    (told,) = ask("live", directory)
    assert (told.holds, "may be written by others" in told.sentence) == (False, True)
    with pytest.raises(PermissionError):
        write(BEAT, directory)


def test_the_files_of_processes_that_are_gone_are_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = private_directory(tmp_path)
    now, own = time.monotonic(), BEAT._replace(written=time.monotonic())
    gone = own._replace(pid=2**22 + 1)
    for beat in (own, gone, gone._replace(role="beat"), gone._replace(host="elsewhere")):
        write(beat, directory)
    assert [one.sentence for one in ask("live", directory, "worker") if "is gone" in one.sentence]
    remove_left("worker", directory)
    left = {(one.role, one.host, one.pid) for one in read_all(directory)}
    assert left == {
        ("worker", own.host, own.pid),
        ("beat", own.host, gone.pid),
        ("worker", "elsewhere", gone.pid),
    }
    # Its number may be another process's one day.
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now + heartbeat.FORGOTTEN_SECONDS + 1)
    remove_left("worker", directory)
    assert own.pid not in {one.pid for one in read_all(directory)}


PLAIN = [
    (["probe", "live"], True),
    (["probe", "ready", "--role", "worker", "--node", "w@host"], True),
    (["probe"], False),
    (["probe", "well"], False),
    (["probe", "live", "--help"], False),
    (["probe", "live", "--json"], False),
    (["probe", "live", "--role", "cook"], False),
    (["probe", "live", "--colour", "red"], False),
    (["--env-file", "x", "probe", "live"], False),
    (["doctor", "live"], False),
]


@pytest.mark.parametrize(("words", "is_plain"), PLAIN)
def test_only_plain_probes_are_answered_at_once(
    words: list[str], is_plain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {heartbeat.VARIABLE: str(tmp_path)}
    assert (answer_plain(words, environ) is not None) == is_plain
    assert answer_plain(words, environ | {f"{heartbeat.VARIABLE}_FILE": "x"}) is None
    (tmp_path / ".env").touch()
    assert answer_plain(words, environ) is None


def test_labels_of_metrics_are_quoted() -> None:
    text = metrics.text(metrics.of_process(BEAT._replace(node='a"b\\c\nd'), NOW))
    assert 'ibutsu_tasks_up{node="a\\"b\\\\c\\nd",role="worker"} 1.0\n' in text
