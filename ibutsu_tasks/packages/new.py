"""Writes a new task package that works, from the files in `template/`."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import RefusedError, UsageError
from ibutsu_tasks.packages.declaration import Check, TaskPackage
from ibutsu_tasks.packages.loading import loaded
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

SUFFIX = ".template"
NAME = re.compile(r"[a-z]([a-z0-9_]{0,48}[a-z0-9])?")

TESTS = "tests"
"""The folder beside the package's own."""


def write_package(distribution: str, into: Path) -> list[Path]:
    """Write the package into a new directory of its name; give the files.

    Raises UsageError for a name that cannot be a module's, RefusedError when something of the name is there,
    when the package would collide with one that is loaded, or when the directory cannot be written.
    """
    name = distribution.lower().replace("-", "_")
    code = name.upper().replace("_", "-") + "-"
    _check_name(distribution, name)
    _check_collisions(TaskPackage(name=name, checks=(Check(name, code, ""),)))
    root = into / distribution
    if root.exists():
        raise RefusedError(f"{root} exists already.", "Give another name, or another place in --into.")
    words = {"distribution": distribution, "name": name, "code": code}
    written = []
    try:
        for place, text in _templates(files("ibutsu_tasks.packages") / "template", Path()):
            path = root / Path(*(name if part == "package" else part for part in place.parts))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template(text).substitute(words), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise RefusedError(f"{root} cannot be written: {error.strerror}.") from None
    return written


def _check_name(distribution: str, name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name == TESTS:
        raise UsageError(
            f"{cut(distribution)!r} cannot be the name of a package.",
            "Give letters, digits and - or _, a letter first, such as backups or gold-rates.",
        )
    if importlib.util.find_spec(name) is not None:
        raise RefusedError(
            f"There is a module {name} already, which the package would hide.", "Give another name."
        )


def _check_collisions(package: TaskPackage) -> None:
    if problem := loaded().problem_of(package):
        raise RefusedError(f"The package {package.name} {problem}.", "Give another name.")


def _templates(folder: Traversable, place: Path) -> Iterator[tuple[Path, str]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _templates(item, place / item.name)
        elif item.name.endswith(SUFFIX):
            yield place / item.name.removesuffix(SUFFIX), item.read_text(encoding="utf-8")
