"""`ibutsu-tasks db`."""

from __future__ import annotations

import typer

from ibutsu_tasks.cli.options import command_app
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import RefusedError

app = command_app(no_args_is_help=True)


@app.callback()
def db() -> None:
    """Set up a database of your own; an Ibutsu API server looks after its own."""


@app.command()
def create(context: typer.Context) -> None:
    """Create the tables of the Ibutsu server in an empty database.

    One that has tables already is refused, and so is one with an alembic_version: its schema belongs to
    the API server's migrations.
    """
    from rich.markup import escape
    from sqlalchemy.exc import DBAPIError

    from ibutsu_tasks.database.engine import is_transient, unreachable
    from ibutsu_tasks.database.models import create_tables
    from ibutsu_tasks.resources import Resources

    state = state_of(context)
    engine = Resources(state.settings, "db").engine
    try:
        number = create_tables(engine)
    except DBAPIError as error:
        if is_transient(error):
            raise unreachable(error, state.settings.require_database()) from error
        reason = str(error.orig).partition("\n")[0]
        raise RefusedError(
            f"PostgreSQL refused to create the tables: {reason}.",
            "Name a user in POSTGRESQL_USER who may create tables in this database.",
        ) from error
    state.output.show(f"Created {number} tables in the database {escape(str(engine.url.database))}.")
