from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table


def is_not_kept(boxes: Table) -> ColumnElement[bool]:
    return boxes.c.state != "kept"


def is_not_the_newest(days: Table) -> ColumnElement[bool]:
    return days.c.day != select(func.max(days.c.day)).scalar_subquery()


def raises(_: Table) -> Any:
    raise RuntimeError("no luck")


def gives_a_text(_: Table) -> Any:
    return "state = 'kept'"


def exits(_: Table) -> Any:
    sys.exit(3)


def no_ages_but_raises(*_: Any) -> Any:
    raise RuntimeError("no luck")


def no_ages_but_exits(*_: Any) -> Any:
    sys.exit(3)


def no_ages_but_a_text(*_: Any) -> Any:
    return "never"
