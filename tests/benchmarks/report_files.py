"""Files to import: JUnit reports as pytest writes them, and archives as pytest-ibutsu writes them."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = 50
"""Different texts of a report; every case has one of them."""

FAILING_EVERY = 10


def log_text(size_bytes: int, seed: int) -> str:
    """Give text as programs print it: words that repeat, numbers that do not."""
    line = "{:08d} connection to backend-{} refused, next try in {} ms\n"
    lines = [
        line.format(seed * 7919 + number, number % 7, number * 31 % 977)
        for number in range(size_bytes // 50 + 1)
    ]
    return "".join(lines)[:size_bytes]


def write_junit(path: Path, cases: int, *, output_bytes: int, traceback_bytes: int) -> None:
    """Write one suite; every tenth case fails."""
    outputs = [f"<system-out>{log_text(output_bytes, seed)}</system-out>" for seed in range(TEXTS)]
    tracebacks = [log_text(traceback_bytes, seed) for seed in range(TEXTS)]
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<testsuites>')
        file.write(f'<testsuite name="pytest" tests="{cases}" timestamp="2026-11-21T05:00:00.000000">\n')
        for number in range(cases):
            module = f"tests.area_{number % 17}.test_module_{number % 200}"
            file.write(f'<testcase classname="{module}.TestIt" name="test_{number}" time="{number % 97}.25">')
            if number % FAILING_EVERY == 0:
                message = f'message="AssertionError: {number}"'
                file.write(f"<failure {message}>{tracebacks[number // 10 % TEXTS]}</failure>")
            file.write(f"{outputs[number % TEXTS]}</testcase>\n")
        file.write("</testsuite></testsuites>\n")


def write_one_output(path: Path, size_bytes: int) -> None:
    """Write one case with one output."""
    chunk_bytes = 1024**2
    with path.open("w", encoding="utf-8") as file:
        file.write('<testsuite name="pytest"><testcase classname="a.B" name="test_it"><system-out>')
        for number in range(size_bytes // chunk_bytes):
            file.write(log_text(chunk_bytes, number))
        file.write("</system-out></testcase></testsuite>")


def write_archive(path: Path, results: int, *, artifact_bytes: int) -> None:
    """Write a run whose results have one artifact each."""
    run_id = uuid4()
    with tarfile.open(path, "w:gz") as archive:
        run = {"id": str(run_id), "start_time": "2026-11-21T05:00:00", "component": "shop", "env": "ci"}
        _add(archive, f"{run_id}/run.json", json.dumps(run | {"metadata": {"tags": ["nightly"]}}).encode())
        for number in range(results):
            result_id = uuid4()
            folder = f"{run_id}/{result_id}"
            document = json.dumps(_result(number, result_id, run_id)).encode()
            _add(archive, f"{folder}/result.json", document)
            _add(archive, f"{folder}/traceback.log", log_text(artifact_bytes, number).encode())


def _result(number: int, result_id: UUID, run_id: UUID) -> dict[str, object]:
    phases = dict.fromkeys(("setup", "call", "teardown"), 0.05)
    return {
        "id": str(result_id),
        "run_id": str(run_id),
        "test_id": f"tests/test_module_{number % 50}.py::test_{number}",
        "result": "failed" if number % FAILING_EVERY == 0 else "passed",
        "duration": number % 97 + 0.25,
        "start_time": f"2026-11-21T05:{number % 60:02d}:00.123456",
        "component": "shop",
        "env": "ci",
        "source": "local",
        "params": {"number": number},
        "metadata": {
            "statuses": {phase: ["passed", False] for phase in phases},
            "durations": phases,
            "fspath": f"tests/test_module_{number % 50}.py",
            "markers": [{"name": "usefixtures", "args": [], "kwargs": {}}],
            "user_properties": {"requirement": f"REQ-{number % 30}"},
        },
    }


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    file: IO[bytes] = io.BytesIO(content)
    archive.addfile(info, file)
