"""Streams that are closed, full or of few characters, and Ctrl-C in the first moments: never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import PROGRAM, environment

REPORT = Path(__file__).parents[2] / "examples" / "results" / "pytest-junit.xml"
COMMANDS = (["--version"], ["--help"], ["lint", str(REPORT)], ["lint", str(REPORT), "--json"])


def shell(line: str, *words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line, PROGRAM, *words],
        env=environment(**variables),
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_has_seen_enough_is_no_bad_news(words: list[str]) -> None:
    done = shell('"$0" "$@" | true; exit ${PIPESTATUS[0]}', *words)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", COMMANDS)
def test_closed_streams(words: list[str], closed: str) -> None:
    done = shell(f'"$0" "$@" {closed}', *words)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_disk_is_a_sentence(words: list[str]) -> None:
    done = shell('"$0" "$@" > /dev/full', *words)
    assert done.returncode == 1
    assert b"could be written to stdout: No space left on device." in done.stderr
    assert b"Traceback" not in done.stderr
    assert shell('"$0" "$@" 2> /dev/full', *words).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "é漢😀.xml"
    path.write_bytes(REPORT.read_bytes())
    done = shell('"$0" "$@"', "lint", str(path), PYTHONIOENCODING=encoding)
    codec = encoding.partition(":")[0]
    assert (done.returncode, done.stderr) == (0, b"")
    assert "é漢😀.xml".encode(codec, "backslashreplace") in done.stdout
    done = shell('"$0" "$@"', "lint", str(path), "--json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout.decode(codec))["files"][0]["filename"] == str(path)


def test_ctrl_c_while_the_command_line_is_imported_is_no_traceback() -> None:
    program = """
import sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.argv = ["ibutsu-tasks", "config"]
from ibutsu_tasks.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
