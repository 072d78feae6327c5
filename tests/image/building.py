"""Building the image for real: a Debian by debootstrap, wheels by pip, and buildah."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / ".constraints.txt"

SUITE, SUITE_PYTHON = "trixie", "3.13"
MIRROR = "http://deb.debian.org/debian"
NEEDED = ("buildah", "debootstrap", "runc", "unshare")

BASE, IMAGE = "localhost/base", "localhost/ibutsu-tasks"
TIMESTAMP = "1577836800"


def pinned_versions() -> dict[str, str]:
    """Give the version of each package of the image, by its name as tools compare it."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", CONSTRAINTS.read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def skip_where_impossible() -> None:
    """Skip, with the reason, where no container can be built or run."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the image was not built: {', '.join(missing)} not installed")
    if os.geteuid() != 0:
        pytest.skip("the image was not built: that takes root")
    namespaces = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if namespaces.returncode:
        pytest.skip("the image was not built: this machine allows no namespaces")


class Store:
    """The images and containers of one test run, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._global = ("--root", str(directory / "images"), "--runroot", str(directory / "run"))

    def buildah(self, *arguments: str) -> str:
        """Run buildah and give what it says; it fails the test with all it said."""
        command = ["buildah", *self._global, "--storage-driver", "vfs", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_base(self) -> None:
        """Make an image of a small Debian with Python. Skips when Debian cannot be fetched."""
        container = self.buildah("from", "scratch")
        debian = Path(self.buildah("mount", container))
        _fetch("debootstrap", "--variant=minbase", "--include=python3-venv", SUITE, str(debian), MIRROR)
        for left in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(debian / left)
        self.buildah("commit", "--rm", "--quiet", "--format", "docker", container, BASE)

    def build(self) -> float:
        """Build the Containerfile on the base, from wheels alone; give the seconds it took."""
        wheels = self._fetch_wheels()
        given = {"BASE": BASE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
        began = time.monotonic()
        self.buildah(
            *("build", "--isolation", "chroot", "--format", "docker", "--timestamp", TIMESTAMP),
            *(word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")),
            *("--volume", f"{wheels}:/wheels:ro", "--tag", IMAGE, str(ROOT)),
        )
        return time.monotonic() - began

    def _fetch_wheels(self) -> Path:
        wheels = self.directory / "wheels"
        if not wheels.exists():
            pip = (sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:")
            wanted = ("--python-version", SUITE_PYTHON, "--requirement", str(CONSTRAINTS), "hatchling")
            _fetch(*pip, *wanted, "-d", str(wheels))
        return wheels

    def describe(self) -> dict[str, Any]:
        """Give what buildah knows of the image."""
        return dict(json.loads(self.buildah("inspect", "--type", "image", IMAGE)))

    def mount(self) -> Path:
        """Give a directory with the files of the image."""
        return Path(self.buildah("mount", self.buildah("from", IMAGE)))

    def remove(self) -> None:
        """Remove everything; what this storage driver calls mounted is a plain directory."""
        shutil.rmtree(self.directory)


def _fetch(*command: str) -> None:
    """Run what needs the network, and skip with its last words where there is none."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        pytest.skip(f"the image was not built: {command[0]} failed: {said[-1] if said else 'in silence'}")
