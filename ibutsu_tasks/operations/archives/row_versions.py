"""Which rows nobody touched since a moment, by the transaction that wrote each row version (`xmin`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, Uuid, bindparam, text

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy.orm import Session

# `xmin` has 32 bits and goes round. A row is new when it was written by one of the transactions from `since`
# to now: everything a snapshot taken at `since` may not have seen. Subtransactions have later numbers still.
_NEW = (
    "mod(mod({row}.xmin::text::bigint - :since, 4294967296) + 4294967296, 4294967296)"
    " <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint - :since"
)

_DEPENDANTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "artifacts": (),
    "results": (("artifacts a", "a.result_id = root.id", "a"),),
    "runs": (
        ("artifacts a", "a.run_id = root.id", "a"),
        ("results r", "r.run_id = root.id", "r"),
        ("results r join artifacts a on a.result_id = r.id", "r.run_id = root.id", "a"),
    ),
}
"""By table: where the dependants of a row of it are."""


_IDS = bindparam("ids", type_=ARRAY(Uuid()))


def first_open_transaction(session: Session) -> int:
    """Give the number of the first transaction that any later snapshot may not see whole."""
    query = text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return int(session.execute(query).scalar_one())


def unchanged_since(session: Session, table: str, row_ids: Collection[UUID], since: int) -> set[UUID]:
    """Give those of the rows of `table` that, with all their dependants, have no version from `since` on.

    A row that is gone is no change. One written while `since` was taken may be taken for changed, never
    one that was changed for unchanged.
    """
    touched = [
        f"not exists (select from {tables} where {depends} and {_NEW.format(row=row)})"
        for tables, depends, row in _DEPENDANTS[table]
    ]
    conditions = " and ".join(["root.id = any(:ids)", f"not {_NEW.format(row='root')}", *touched])
    query = text(f"select root.id from {table} root where {conditions}")  # noqa: S608 - names of our own tables
    bound = query.bindparams(_IDS).columns(id=Uuid())
    return set(session.scalars(bound, {"ids": list(row_ids), "since": since}))


def any_written_since(session: Session, table: str, places: str, since: int) -> bool:
    """Say whether one of these rows, by itself, has a version from `since` on, as `unchanged_since` does.

    `places` is an array of `tid` as PostgreSQL writes it; this transaction has locked the rows.
    """
    conditions = f"root.ctid = any(cast(:places as tid[])) and {_NEW.format(row='root')}"
    query = text(f"select exists (select from {table} root where {conditions})")  # noqa: S608 - our own tables
    return bool(session.scalar(query, {"places": places, "since": since}))
