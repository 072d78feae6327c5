"""The tables the Ibutsu API server owns, named to the letter (its contract, section 3).

Identifiers are `uuid`, JSON is `jsonb`, times are `timestamp without time zone` holding UTC.
`create_tables` makes them in an empty database of ours; the server's own is never altered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    DateTime,
    Double,
    Engine,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    any_,
    cast,
    func,
    inspect,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column

from ibutsu_tasks.database.tables import creating
from ibutsu_tasks.errors import RefusedError

Json = dict[str, Any]


class Base(DeclarativeBase):
    """Maps Python types to the contract's column types and names its keys and indexes."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this name from the class
        str: Text(),
        UUID: Uuid(),
        Json: JSONB(),
        float: Double(),
        bytes: LargeBinary(),
        datetime: DateTime(timezone=False),
    }


class Keyed(Base):
    """A table whose rows have an id."""

    __abstract__ = True
    id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-1)


def _reference(target: str, *, index: bool = True, **options: Any) -> Mapped[UUID | None]:
    return mapped_column(ForeignKey(target, **options), index=index)


class Group(Keyed):
    """A group of users and projects."""

    __tablename__ = "groups"
    name: Mapped[str | None] = mapped_column(index=True)
    data: Mapped[Json | None]


class User(Keyed):
    """Somebody who can log in. The password column is the server's alone."""

    __tablename__ = "users"
    email: Mapped[str] = mapped_column(index=True, unique=True)
    password_hash: Mapped[str | None] = mapped_column("_password")
    name: Mapped[str | None]
    activation_code: Mapped[str | None]
    is_superadmin: Mapped[bool]
    is_active: Mapped[bool]
    group_id: Mapped[UUID | None] = _reference("groups.id")


class Project(Keyed):
    """What runs and results belong to."""

    __tablename__ = "projects"
    name: Mapped[str | None] = mapped_column(index=True)
    title: Mapped[str | None] = mapped_column(index=True)
    owner_id: Mapped[UUID | None] = _reference("users.id")
    group_id: Mapped[UUID | None] = _reference("groups.id")
    default_dashboard_id: Mapped[UUID | None] = mapped_column(
        # Projects and dashboards point at each other: this key is added after both tables.
        ForeignKey("dashboards.id", name="fk_project_default_dashboard", use_alter=True)
    )


class Membership(Base):
    """A user's access to a project."""

    __tablename__ = "users_projects"
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), primary_key=True)


class Dashboard(Keyed):
    """A page of widgets."""

    __tablename__ = "dashboards"
    title: Mapped[str | None] = mapped_column(index=True)
    description: Mapped[str | None]
    filters: Mapped[str | None]
    project_id: Mapped[UUID | None] = _reference("projects.id", name="fk_dashboards_project_id")
    user_id: Mapped[UUID | None] = _reference("users.id")


class WidgetConfig(Keyed):
    """A widget of a dashboard."""

    __tablename__ = "widget_configs"
    project_id: Mapped[UUID | None] = _reference("projects.id")
    dashboard_id: Mapped[UUID | None] = _reference("dashboards.id")
    title: Mapped[str | None] = mapped_column(index=True)
    type: Mapped[str | None] = mapped_column(index=True)
    weight: Mapped[int | None] = mapped_column(index=True)
    widget: Mapped[str | None] = mapped_column(index=True)
    params: Mapped[Json | None]
    navigable: Mapped[bool | None] = mapped_column(index=True)


class Token(Keyed):
    """An access token of a user."""

    __tablename__ = "tokens"
    name: Mapped[str]
    token: Mapped[str]
    expires: Mapped[datetime | None]
    user_id: Mapped[UUID | None] = _reference("users.id")


class Import(Keyed):
    """An uploaded file on its way: `pending`, `running`, `done` or `error`."""

    __tablename__ = "imports"
    filename: Mapped[str | None] = mapped_column(index=True)
    format: Mapped[str | None] = mapped_column(index=True)
    data: Mapped[Json | None]
    status: Mapped[str | None] = mapped_column(index=True)
    created: Mapped[datetime] = mapped_column(index=True, server_default=func.now())


class ImportFile(Keyed):
    """The bytes of an uploaded file; `content` is null once they are imported."""

    __tablename__ = "import_files"
    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), index=True)
    content: Mapped[bytes | None]


class Run(Keyed):
    """One execution of a set of tests. `data` is called `metadata` on the API."""

    __tablename__ = "runs"
    project_id: Mapped[UUID | None] = _reference("projects.id")
    data: Mapped[Json | None]
    env: Mapped[str | None] = mapped_column(index=True)
    component: Mapped[str | None] = mapped_column(index=True)
    source: Mapped[str | None] = mapped_column(index=True)
    start_time: Mapped[datetime] = mapped_column(index=True)
    duration: Mapped[float | None] = mapped_column(index=True)
    summary: Mapped[Json | None]
    created: Mapped[datetime] = mapped_column(index=True)


class Result(Keyed):
    """The outcome of one test. `data` is called `metadata` on the API."""

    __tablename__ = "results"
    project_id: Mapped[UUID | None] = _reference("projects.id")
    run_id: Mapped[UUID | None] = _reference("runs.id")
    test_id: Mapped[str | None] = mapped_column(index=True)
    result: Mapped[str | None] = mapped_column(index=True)
    data: Mapped[Json | None]
    params: Mapped[Json | None]
    duration: Mapped[float | None] = mapped_column(index=True)
    start_time: Mapped[datetime] = mapped_column(index=True)
    source: Mapped[str | None] = mapped_column(index=True)
    env: Mapped[str | None] = mapped_column(index=True)
    component: Mapped[str | None] = mapped_column(index=True)


class Artifact(Keyed):
    """A file of a result or of a run."""

    __tablename__ = "artifacts"
    content: Mapped[bytes | None]
    result_id: Mapped[UUID | None] = _reference("results.id")
    run_id: Mapped[UUID | None] = _reference("runs.id")
    filename: Mapped[str | None] = mapped_column(index=True)
    data: Mapped[Json | None]
    upload_date: Mapped[datetime] = mapped_column(index=True)


_RESULTS, _RUNS = Base.metadata.tables["results"], Base.metadata.tables["runs"]


def _index(table: Table, name: str, *expressions: str, using: str = "btree") -> None:
    Index(f"ix_{table.name}_{name}", *map(text, expressions), _table=table, postgresql_using=using)


def _field(name: str) -> str:
    return f"(data ->> '{name}'::text)"


def _jenkins(name: str) -> str:
    return f"((data -> 'jenkins'::text) ->> '{name}'::text)"


for _name in ("assignee", "classification", "exception_name"):
    _index(_RESULTS, _name, _field(_name))
for _table in (_RESULTS, _RUNS):
    for _name in ("build_number", "job_name"):
        _index(_table, f"jenkins_{_name}", _jenkins(_name))
    _index(_table, "tags", "(data -> 'tags'::text)", using="gin")
_index(_RESULTS, "requirements", "(data -> 'requirements'::text)", using="gin")
_index(_RESULTS, "component_env_project", "component", "env", "project_id", "start_time DESC")
_index(_RESULTS, "component_start_time_result_project_id", "component", "start_time", "result", "project_id")
_index(
    _RESULTS,
    "result_satver_project_id_run_id_snapver",
    *("result", _field("SatelliteVersion"), "project_id", "run_id", _field("SnapVersion")),
)
_index(_RUNS, "jjn_jbn", _jenkins("job_name"), _jenkins("build_number"))
_index(_RUNS, "summary", "summary", using="gin")
_index(_RUNS, "pass_percent", "((summary ->> 'pass_percent'::text)::integer)")

METADATA = Base.metadata
TABLES: tuple[str, ...] = tuple(METADATA.tables)


AmongKeys = Callable[[ColumnElement[UUID] | InstrumentedAttribute[Any]], ColumnElement[bool]]
"""Turns a column that holds a key into the condition that the key is among those taken."""


def among(ids: Iterable[UUID | str]) -> AmongKeys:
    """Take the rows with these ids."""
    # One text for all of them: bound one by one, they cost more than the rows they find.
    array = cast(literal(f"{{{','.join(map(str, ids))}}}"), ARRAY(Uuid()))
    return lambda column: column == any_(array)


def create_tables(engine: Engine) -> int:
    """Make the contract's tables in an empty database, all or none; give their number.

    Raises RefusedError when the database already has tables: one with an `alembic_version` belongs to
    an Ibutsu API server, whose migrations own the schema.
    """
    with creating(engine) as connection:
        _refuse_unless_empty(connection)
        Base.metadata.create_all(connection)
    return len(TABLES)


def _refuse_unless_empty(connection: Connection) -> None:
    existing = sorted(inspect(connection).get_table_names())
    if "alembic_version" in existing:
        raise RefusedError(
            "This database has an alembic_version table: its schema belongs to an Ibutsu API server.",
            "Run that server's migrations instead, or name an empty database.",
        )
    if existing:
        named = ", ".join(existing[:3]) + (", …" if len(existing) > 3 else "")  # noqa: PLR2004 - a taste of them
        raise RefusedError(
            f"This database is not empty: its tables are {named} ({len(existing)} in all).",
            "Name an empty database; nothing was changed.",
        )
