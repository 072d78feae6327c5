"""Everything that may be uploaded ends as `done` or `error`, with its sentence, in little memory."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import select

from ibutsu_tasks.ibutsu.database.models import Import, Result
from tests.factories import make_import
from tests.sample_files import RESULT_IDS, RUN_ID, archive, result_json
from tests.worker_system import import_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.worker_system import System

MEMORY_LIMIT_BYTES = 300_000_000
CASE = b'<testcase name="t" time="1"/>'
SUITE = b"<testsuite>" + CASE + b"</testsuite>"


def tar_gz(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def bomb() -> bytes:
    """A gigabyte of zeros in one member: under the limit of bytes, far over any reason to hold it."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as stream:
        info = tarfile.TarInfo(f"{RUN_ID}/zeros.log")
        info.size = 1024**3
        stream.write(info.tobuf())
        for _ in range(1024):
            stream.write(bytes(1024**2))
        stream.write(bytes(1024))
    return packed.getvalue()


def many_values() -> bytes:
    return tar_gz(
        (
            tarfile.TarInfo(f"{RUN_ID}/{RESULT_IDS[0]}/result.json"),
            b'{"metadata":[' + b"{}," * 5_000_000 + b"1]}",
        ),
        (tarfile.TarInfo(f"{RUN_ID}/{RESULT_IDS[1]}/result.json"), b'{"result": "passed"}'),
    )


def entity_bomb() -> bytes:
    levels = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 9))
    return b'<!DOCTYPE x [<!ENTITY a0 "lol">' + levels + b']><testsuite><testcase name="&a8;"/></testsuite>'


EXTERNAL = (
    b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuite name="&e;">' + CASE + b"</testsuite>"
)

JUNIT = {
    "not XML": (b"just words", "error"),
    "empty": (b"", "error"),
    "HTML": (b"<!doctype html><html><body>404</body></html>", "error"),
    "truncated": (SUITE[:-6], "error"),
    "no tests": (b"<testsuites/>", "done"),
    "entity bomb": (entity_bomb(), "error"),
    "external entity": (EXTERNAL, "error"),
    "control characters": (SUITE.replace(b'"t"', b'"t\x1b[0m\x00&#27;"'), "done"),
    "UTF-16": (SUITE.decode().encode("utf-16"), "done"),
    "Latin-1": (
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + SUITE.replace(b'"t"', b'"\xe9t\xe9"'),
        "done",
    ),
    "wrong encoding": (b'<?xml version="1.0" encoding="UTF-8"?>' + SUITE.replace(b'"t"', b'"\xe9"'), "done"),
    "huge properties": (
        b"<testsuite>"
        + (b'<property name="p" value="' + b"x" * 10_000_000 + b'"/>') * 4
        + CASE
        + b"</testsuite>",
        "done",
    ),
    "time with a comma": (SUITE.replace(b'"1"', b'"1,024.12"'), "done"),
}

GOOD_RUN = {"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00"}
NO_START = {key: value for key, value in result_json(0).items() if key != "start_time"}

# Large ones are made when they are needed, not by every process that looks for tests.
ARCHIVES: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    "no gzip": (b"PK\x03\x04 a zip file", "error"),
    "no tar": (gzip.compress(b"hello"), "error"),
    "cut gzip": (archive(GOOD_RUN, [result_json(0)])[:-40], "error"),
    "absolute path": (tar_gz((tarfile.TarInfo("/etc/run.json"), b"{}")), "error"),
    "parent path": (tar_gz((tarfile.TarInfo(f"{RUN_ID}/../../x"), b"{}")), "error"),
    "symbolic link": (tar_gz(special(f"{RUN_ID}/run.json", tarfile.SYMTYPE, "/etc/passwd")), "error"),
    "hard link": (tar_gz(special(f"{RUN_ID}/run.json", tarfile.LNKTYPE, "x")), "error"),
    "device": (tar_gz(special(f"{RUN_ID}/null", tarfile.CHRTYPE)), "error"),
    "bomb": (bomb, None),
    "a million values": (many_values, "done"),
    "no run.json": (archive(None, [result_json(0)]), "done"),
    "no id": (archive({"start_time": "2026-11-21T08:00:00"}, [result_json(0)]), "done"),
    "no start_time": (archive({"id": str(RUN_ID)}, [NO_START | {"id": str(RESULT_IDS[0])}]), "done"),
    "unknown project": (archive(GOOD_RUN | {"metadata": {"project": "nobody"}}, [result_json(0)]), "done"),
    "broken result.json": (
        tar_gz(
            (tarfile.TarInfo(f"{RUN_ID}/{RESULT_IDS[0]}/result.json"), b'{"test_id": '),
            (
                tarfile.TarInfo(f"{RUN_ID}/{RESULT_IDS[1]}/result.json"),
                b'{"result": "passed", "test_id": "ok"}',
            ),
        ),
        "done",
    ),
}


def imported(system: System, task: str, content: bytes, filename: str) -> Import:
    row = make_import(system.session, content, filename=filename)
    system.session.commit()
    outcome = system.outcome(system.publish(f"importers.{task}", import_message(row)))
    assert outcome["status"] in {"SUCCESS", "FAILURE"}
    system.session.rollback()
    system.session.refresh(row)
    assert row.status == {"SUCCESS": "done", "FAILURE": "error"}[outcome["status"]]
    return row


def check_sentence(row: Import) -> None:
    sentence = (row.data or {}).get("error", "")
    if row.status == "error":
        assert sentence.endswith(".")
        assert len(sentence) < 500
        assert "Traceback" not in sentence
    else:
        assert not sentence


def check_memory(system: System) -> None:
    for process in psutil.Process(system.worker.process.pid).children(recursive=True):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        peak_bytes = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        assert peak_bytes < MEMORY_LIMIT_BYTES


@pytest.mark.parametrize("name", JUNIT)
def test_junit(system: System, name: str) -> None:
    content, status = JUNIT[name]
    row = imported(system, "run_junit_import", content, f"{name}.xml")
    assert row.status == status
    check_sentence(row)
    check_memory(system)


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(system: System, name: str) -> None:
    content, status = ARCHIVES[name]
    content = content if isinstance(content, bytes) else content()
    row = imported(system, "run_archive_import", content, f"{name}.tar.gz")
    assert status is None or row.status == status
    check_sentence(row)
    check_memory(system)


def test_the_same_file_twice_is_two_runs_or_one_by_its_name(system: System) -> None:
    named = f"results-{uuid4()}.xml"
    for filename, runs in (("same.xml", 2), (named, 1)):
        rows = [imported(system, "run_junit_import", SUITE, filename) for _ in range(2)]
        ids = {(row.data or {})["run_id"][0] for row in rows}
        assert len(ids) == runs
        results = system.session.scalars(select(Result).where(Result.run_id.in_(ids))).all()
        assert len(results) == runs


def test_an_import_that_fails_tells_the_warnings_of_its_file(system: System) -> None:
    content = SUITE.replace(b'time="1"', b'time="soon"')[:-6]
    row = imported(system, "run_junit_import", content, "warnings.xml")
    assert row.status == "error"
    assert (row.data or {})["warnings"] == ['line 1 has time="soon", which is no duration; 0 was taken.']
