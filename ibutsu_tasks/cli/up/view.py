"""How `up` looks: every line on stderr behind the coloured name of who says it."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from ibutsu_tasks.stack_record import RECORD_NAME
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ibutsu_tasks.stack_record import StackRecord

COLOURS = {"up": "bold blue", "worker": "green", "beat": "magenta", "flower": "cyan"}
NAME_WIDTH = max(map(len, COLOURS))
LEVEL_COLOURS = {"D": "dim", "W": "yellow", "E": "bold red", "C": "bold red"}

# The banners of Celery and Flower, which repeat what `up` says; never a log line or a traceback.
_BANNER = re.compile(
    r"""\s*$                                            # empty
    | [ ]?-[-* ]+-($|[ ](celery@|\[|\.>|Linux|macOS|Darwin)) # the worker's box
    | \s+\.>[ ] | \[tasks\]$ | \s{2}\.[ ]\w             # its queues and tasks
    | celery[ ]beat[ ]v | __[ ]+-[ ] | LocalTime[ ]-> | Configuration[ ]-> | \s{4}\.[ ]\w+[ ]?\w*[ ]->
    | \S+[ ]INFO[ ]flower\.command[ ]Registered[ ]tasks: # Flower's tasks
    | \S+[ ]\w+[ ]flower\.inspector[ ]Inspect[ ]method[ ]\w+[ ]failed$ # there is no worker yet
    """,
    re.VERBOSE,
)
_OURS = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>[A-Z])[A-Z]+ (?P<rest>.*)", re.DOTALL)


class StackView:
    """Writes what the stack and its roles say; on a terminal long lines are continued below themselves."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, sentence: str) -> None:
        """Write a sentence of `up` itself."""
        self._write("up", Text(visible(sentence), "bold"))

    def show_line(self, role: str, line: str) -> None:
        """Write a line of a role's output, the banners apart."""
        if _BANNER.match(line):
            return
        self._write(role, _shorten(line) if self._console.is_terminal else Text(line))

    def show_ready(self, record: StackRecord, data_dir: Path, *, seconds: float, is_default: bool) -> None:
        """Write what runs where, and what to try next."""
        self.say(f"ready in {seconds:.1f} s")
        rows = [("Data", visible(str(data_dir)))]
        if record.flower_url and record.flower_basic_auth:
            user, _, password = record.flower_basic_auth.partition(":")
            rows.insert(0, ("Flower", f"{record.flower_url}  user {user}, password {password}"))
            rows.insert(1, ("", f"found again in {visible(str(data_dir / RECORD_NAME))}, while it runs"))
        if not is_default:
            rows.append(("First", f"export IBUTSU_TASKS_DATA_DIR={shlex.quote(visible(str(data_dir)))}"))
        rows += [
            ("Try", "ibutsu-tasks import FILE..."),
            ("", "ibutsu-tasks doctor"),
            ("Stop", "Ctrl-C; the data stay"),
        ]
        block = Text("\n")
        for title, words in rows:
            block.append(f"  {title:<8}", style="bold").append(f"{words}\n")
        self._console.print(block, soft_wrap=True)

    def _write(self, name: str, text: Text) -> None:
        margin = Text.assemble((name.ljust(NAME_WIDTH), COLOURS[name]), (" │ ", "dim"))
        width = self._console.width - len(margin)
        wraps = self._console.is_terminal and width > NAME_WIDTH
        parts = text.wrap(self._console, width) if wraps else [text]
        # One call for all parts, so that lines of other roles do not come in between.
        self._console.print(Text("\n").join(margin + part for part in parts), soft_wrap=True)


def _shorten(line: str) -> Text:
    """Give a log line with its local time alone, and its level as colour."""
    match = _OURS.match(line)
    if match is None:
        return Text(line)
    moment = datetime.fromisoformat(match["time"]).astimezone().strftime("%H:%M:%S")
    return Text.assemble((f"{moment} ", "dim"), (match["rest"], LEVEL_COLOURS.get(match["level"], "")))
