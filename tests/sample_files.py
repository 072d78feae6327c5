"""Small files to import: one of JUnit with every kind of row, and archives as pytest-ibutsu makes them."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any
from uuid import UUID

RUN_ID = UUID("aaaaaaaa-0000-4000-8000-000000000001")
RESULT_IDS = [UUID(int=number) for number in range(1, 4)]

JUNIT = b"""<testsuites time="9.5" timestamp="2026-11-21T10:00:00+01:00">
<properties><property name="component" value="shop"/><property name="env" value="stage"/></properties>
<testsuite name="suite one" file="tests/test_shop.py">
  <testcase classname="tests.test_shop.TestCart" name="test_add" time="1.5" line="7"/>
  <testcase classname="tests.test_shop.TestCart" name="test_remove" time="2">
    <failure message="no">trace</failure><system-out>printed</system-out>
  </testcase>
  <testcase name="test_skipped"><skipped message="later"/></testcase>
</testsuite></testsuites>"""


def archive(run: dict[str, Any] | None, results: list[dict[str, Any]], **files: bytes) -> bytes:
    """Make what pytest-ibutsu makes; `files` go to the first result."""
    members: dict[str, bytes] = {}
    if run is not None:
        members[f"{RUN_ID}/run.json"] = json.dumps(run).encode()
        members[f"{RUN_ID}/session.txt"] = b"of the run"
    for result in results:
        members[f"{RUN_ID}/{result['id']}/result.json"] = json.dumps(result).encode()
    for name, content in files.items():
        members[f"{RUN_ID}/{results[0]['id']}/{name}.log"] = content
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def result_json(number: int, **values: Any) -> dict[str, Any]:
    stated = {
        "id": str(RESULT_IDS[number]),
        "test_id": f"test_{number}",
        "result": "passed",
        "duration": 1.0,
        "start_time": f"2026-11-21T08:0{number}:00",
        "metadata": {"env": "stage", "component": "shop"},
    }
    return stated | values


ARCHIVE = archive(
    {"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00", "metadata": {"build": {"number": 1}}},
    [result_json(0, result="failed"), result_json(1), result_json(2)],
    traceback=b"trace",
)
