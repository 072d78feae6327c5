"""The tools: each has a name, a command line with places for its parameters, and limits.

Those of the code stand in `TOOLS`; a file that TOOLS_FILE names has more of them, a table for each:

    [checksum]
    command = ["sha256sum", "{file}"]
    parameters.file = { type = "text" }
    limits = { seconds = 60 }
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.errors import RefusedError, SettingsError
from ibutsu_tasks.text.quoting import cut
from ibutsu_tasks.text.storable import UNSTORABLE
from tools.settings import TOOLS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibutsu_tasks.settings import Settings

SOFT_LIMIT_SECONDS, HARD_LIMIT_SECONDS = 55 * 60, 60 * 60
MOST_CHARACTERS = 4096

TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "integer": (int,), "number": (int, float)}

_PLACE = re.compile(r"\{(\w+)\}")


class UnfitParametersError(RefusedError):
    """There is no such tool, or it does not take these parameters."""

    hint = "See the tools in TOOLS_FILE and in tools/registry.py."


@dataclass(frozen=True, slots=True)
class Parameter:
    """What one takes: `text`, `integer` or `number`, or one of a few. Without a default it must be given."""

    type: str = "text"
    default: str | float | None = None
    choices: tuple[str | float, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take.

    Memory is the address space of each process, not of all together: Java and Node reserve much that they
    never use, and want a limit to match.
    """

    seconds: float = 50 * 60
    memory_bytes: int = 2**30
    log_bytes: int = 2**20
    file_bytes: int = 2**30
    """Of each file."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program and its arguments, in which `{name}` stands for a parameter. No shell reads them.

    The first two numbers that `progress`, a regular expression, finds in a line of output are how far it is.
    """

    name: str
    command: tuple[str, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    progress: str = r"^(\d+)/(\d+)$"

    def __post_init__(self) -> None:
        """Raise ValueError where its parts do not fit."""
        places = {name for part in self.command for name in _PLACE.findall(part)}
        if not self.command or _PLACE.search(self.command[0]):
            raise ValueError("its command must begin with a program")
        if places != self.parameters.keys():
            raise ValueError("its command and its parameters must name the same")
        if any(one.type not in TYPES for one in self.parameters.values()):
            raise ValueError(f"types of parameters are {', '.join(TYPES)}")
        if not 0 < self.limits.seconds < SOFT_LIMIT_SECONDS:
            raise ValueError(f"its seconds must be below {SOFT_LIMIT_SECONDS}")
        if re.compile(self.progress).groups != 2:  # noqa: PLR2004 - done and total
            raise ValueError("its progress must have two groups")

    def command_line(self, given: Mapping[str, Any]) -> list[str]:
        """Give the command with the parameters in their places. Raises UnfitParametersError."""
        if unknown := given.keys() - self.parameters.keys():
            raise UnfitParametersError(f"{self.name} takes no parameter {cut(min(unknown))!r}.")
        values = {name: _value(self.name, name, row, given) for name, row in self.parameters.items()}
        # In one pass: what is put in is not looked at again.
        return [_PLACE.sub(lambda found: values[found[1]], part) for part in self.command]


def _value(tool: str, name: str, row: Parameter, given: Mapping[str, Any]) -> str:
    value = given.get(name, row.default)
    if value is None:
        raise UnfitParametersError(f"{tool} needs the parameter {name}.")
    if isinstance(value, bool) or not isinstance(value, TYPES[row.type]):
        raise UnfitParametersError(f"The parameter {name} of {tool} must be of the type {row.type}.")
    if row.choices and value not in row.choices:
        raise UnfitParametersError(
            f"The parameter {name} of {tool} must be one of {', '.join(map(str, row.choices))}."
        )
    text = str(value)
    if text.startswith("-"):
        raise UnfitParametersError(f"The parameter {name} of {tool} begins with -, as an option would.")
    if UNSTORABLE.search(text):
        raise UnfitParametersError(f"The parameter {name} of {tool} has a NUL, or half a character.")
    if len(text) > MOST_CHARACTERS:
        raise UnfitParametersError(
            f"The parameter {name} of {tool} is longer than {MOST_CHARACTERS} characters."
        )
    return text


TOOLS = (
    Tool(
        "primes",
        (sys.executable, "-I", str(Path(__file__).with_name("primes.py")), "{last}"),
        {"last": Parameter("integer")},
        Limits(seconds=600),
    ),
    Tool("wait", ("sleep", "{seconds}"), {"seconds": Parameter("number", default=1)}),
)


def all_tools(settings: Settings) -> dict[str, Tool]:
    """Give the tools by name. Raises SettingsError for a file that cannot be used."""
    path: Path | None = settings.value(TOOLS_FILE)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"TOOLS_FILE cannot be read: {error}") from None
    return {one.name: one for one in (*TOOLS, *(_read(name, table) for name, table in tables.items()))}


def _read(name: str, table: Any) -> Tool:
    try:
        return Tool(
            **{
                **table,
                "name": name,
                "command": tuple(table["command"]),
                "parameters": {key: Parameter(**row) for key, row in table.get("parameters", {}).items()},
                "limits": Limits(**table.get("limits", {})),
            }
        )
    except (AttributeError, LookupError, TypeError, ValueError, re.error) as error:
        raise SettingsError(f"The tool {name} of TOOLS_FILE cannot be used: {error}.") from None


def find_tool(settings: Settings, name: str) -> Tool:
    """Give a tool. Raises UnfitParametersError where there is none, and SettingsError as `all_tools`."""
    tool = all_tools(settings).get(name)
    if tool is None:
        raise UnfitParametersError(f"There is no tool {cut(name)!r}.")
    return tool
