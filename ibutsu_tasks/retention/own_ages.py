"""Ages of their own that a rule's package gives some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement


class OwnCutoffs(NamedTuple):
    """Rows for which `by` gives one of these values go at its cut-off (naive UTC); None is never."""

    by: ColumnElement[Any]
    cutoffs: Mapping[Any, datetime | None]
