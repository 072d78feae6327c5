"""Running the image as a cluster does: read-only, without any capability, as whoever it is told to be."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.commands import Running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GROUP = 0
_numbers = count(1)


class Image:
    """The files of an image and how it wants to be run."""

    def __init__(self, files: Path, description: Mapping[str, Any], work: Path) -> None:
        self.files = files
        self.config: dict[str, Any] = description["Docker"]["config"]
        self.layers: list[dict[str, Any]] = json.loads(description["Manifest"])["layers"]
        self._work = work
        self._runc = ("runc", "--root", str(work / "state"))

    def run(self, *arguments: str, uid: int, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._command(f"ibutsu-tasks-{next(_numbers)}", arguments, uid, env),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @contextmanager
    def running(self, *arguments: str, uid: int, **env: str) -> Iterator[Container]:
        """Run one in the background; signals that its process gets are passed on to the container's first."""
        name = f"ibutsu-tasks-{next(_numbers)}"
        try:
            with Running(*self._command(name, arguments, uid, env), env={}) as process:
                yield Container(process, self._runc, name, uid)
        finally:
            subprocess.run([*self._runc, "delete", "--force", name], capture_output=True, check=False)

    def _command(self, name: str, arguments: tuple[str, ...], uid: int, env: Mapping[str, str]) -> list[str]:
        bundle = self._work / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._specification(arguments, uid, env)), "utf-8")
        return [*self._runc, "run", "--bundle", str(bundle), name]

    def _specification(self, arguments: tuple[str, ...], uid: int, env: Mapping[str, str]) -> dict[str, Any]:
        """Say in the words of the OCI how to run it, on this machine's network."""
        variables = [f"{name}={value}" for name, value in env.items()]
        process = {
            "user": {"uid": uid, "gid": GROUP},
            "args": [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])],
            "env": [*self.config["Env"], *variables],
            "cwd": self.config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        }
        volumes = [_tmpfs(path, "mode=0770") for path in self.config["Volumes"]]
        return {
            "ociVersion": "1.0.2",
            "process": process,
            "root": {"path": str(self.files), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                _tmpfs("/dev", "mode=0755"),
                _tmpfs("/dev/shm", "mode=1777"),  # noqa: S108 - of the container
                *volumes,
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
        }


class Container:
    """A container in the background."""

    def __init__(self, process: Running, runc: tuple[str, ...], name: str, uid: int) -> None:
        self.process = process
        self._runc, self._name, self._user = runc, name, f"{uid}:{GROUP}"

    def enter(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it, as a probe of the container does."""
        return subprocess.run(
            [*self._runc, "exec", "--user", self._user, self._name, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def pid(self) -> int:
        """Give the number that its first process has on this machine."""
        state = subprocess.run([*self._runc, "state", self._name], capture_output=True, check=True)
        return int(json.loads(state.stdout)["pid"])


def _tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}
