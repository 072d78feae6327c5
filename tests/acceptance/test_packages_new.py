"""`packages new` writes a task package, which passes its own test as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.commands import environment, run, run_here

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_package_passes_its_own_test(tmp_path: Path) -> None:
    done = run("packages", "new", "gold-rates", "--into", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    root, site = tmp_path / "gold-rates", tmp_path / "site"
    written = {os.path.relpath(path, root) for path in json.loads(done.stdout)["written"]}
    assert {"pyproject.toml", "README.md", "gold_rates/package.py", "tests/test_package.py"} <= written
    # As its README says, but beside what is installed here.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(root)]
    subprocess.run(pip, check=True, timeout=120)
    passed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=root,
        env=environment(PYTHONPATH=os.pathsep.join([str(site), *sys.path])),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "2 passed" in passed.stdout


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("9lives", 2, "cannot be the name of a package"),
        ("a b", 2, "cannot be the name of a package"),
        ("../up", 2, "cannot be the name of a package"),
        ("class", 2, "cannot be the name of a package"),
        ("x" * 200, 2, "cannot be the name of a package"),
        ("gold-", 2, "cannot be the name of a package"),
        ("tests", 2, "cannot be the name of a package"),
        ("ibutsu", 1, "collides with the package ibutsu: both have the package ibutsu."),
        ("broker", 1, "collides with the package ibutsu-tasks itself: both have the check broker."),
        ("json", 1, "There is a module json already"),
        ("taken", 1, "exists already"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, code: int, sentence: str) -> None:
    (tmp_path / "taken").mkdir()
    done = run_here("packages", "new", name, "--into", str(tmp_path))
    assert done.returncode == code
    assert sentence in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_two_whose_names_begin_alike_go_together(tmp_path: Path) -> None:
    for name in ("gold-rates-now", "gold-rates-then"):
        assert run_here("packages", "new", name, "--into", str(tmp_path)).returncode == 0
    packages = {"IBUTSU_TASKS_PACKAGES": "gold_rates_now.package,gold_rates_then.package"}
    # Python passes over a place that it cannot look at, and so do we.
    places = (tmp_path / name for name in ("gold-rates-now", "gold-rates-then", "n" * 300))
    path = os.pathsep.join(map(str, places))
    listed = run("packages", "--json", env=packages | {"PYTHONPATH": path})
    assert json.loads(listed.stdout)["problems"] == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_here("packages", "new", "gold", "--into", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
