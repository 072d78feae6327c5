"""Memory of an import does not grow with its file."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.orm import Session

LIMIT_MEGABYTES = 200
"""Two thirds of what bad input may cost; some 70 of them are Python and its libraries."""

IMPORT = """
import re, resource, sys
from pathlib import Path
from uuid import UUID
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.operations.imports.run_import import run_import

with Session(create_engine(sys.argv[1])) as session, session.begin():
    results = run_import(session, UUID(sys.argv[2]), "junit", ImportLimits()).results
status = Path("/proc/self/status")
if status.exists():
    # Not ru_maxrss: on Linux it begins with what the parent had when it forked.
    peak_kilobytes = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
else:
    peak_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(results, peak_kilobytes // 1024)
"""


def many_cases(path: Path) -> int:
    with path.open("w") as file:
        file.write("<testsuite>")
        for number in range(30_000):
            failure = f"<failure>{'trace ' * 200}</failure>"
            file.write(f'<testcase classname="a.b.C" name="test_{number}">{failure}</testcase>')
        file.write("</testsuite>")
    return 30_000


def one_huge_text(path: Path) -> int:
    with path.open("w") as file:
        file.write('<testsuite><testcase name="a"><system-out>')
        for number in range(1_500_000):
            file.write(f"line {number} of an output that does not end\n")
        file.write("</system-out></testcase></testsuite>")
    return 1


@pytest.mark.parametrize("write", [many_cases, one_huge_text])
def test_large_file_costs_no_more_memory_than_a_small_one(
    session: Session, database_url: str, tmp_path: Path, write: Callable[[Path], int]
) -> None:
    path = tmp_path / "large.xml"
    cases = write(path)
    assert path.stat().st_size > 35_000_000
    upload = store_upload(session, path.name, path)
    session.commit()

    command = [sys.executable, "-c", IMPORT, database_url, str(upload.import_id)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    results, megabytes = map(int, done.stdout.split())
    assert results == cases
    assert megabytes < LIMIT_MEGABYTES
