"""What the image is made of fits the package, without building it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ibutsu_tasks import __version__
from tests.image.building import pinned_versions

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
PINNED = pinned_versions()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEPENDENCIES = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["traces"]


@pytest.mark.parametrize("dependency", DEPENDENCIES)
def test_every_dependency_is_pinned_within_its_bounds(dependency: str) -> None:
    wanted = Requirement(dependency)
    assert PINNED[canonicalize_name(wanted.name)] in wanted.specifier


def test_the_label_of_the_image_names_the_version() -> None:
    label = f'org.opencontainers.image.version="{__version__}"'
    assert label in CONTAINERFILE


def test_what_the_containerfile_copies_reaches_the_build() -> None:
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Containerfile").read_text("utf-8"), re.MULTILINE
    )
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(allowed)
