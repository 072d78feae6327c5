"""`ibutsu-tasks db`, the tables of an empty database: its options and one call."""

from __future__ import annotations

import typer

from ibutsu_tasks.cli.options import command_app
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.text.words import counted

app = command_app(no_args_is_help=True)


@app.callback()
def db() -> None:
    """Set up a database of your own; an Ibutsu API server looks after its own."""


@app.command()
def create(context: typer.Context) -> Result:
    """Create the tables of the Ibutsu server in an empty database, and those of task packages that it lacks.

    For Ibutsu's, one that has tables already is refused, and so is one with an alembic_version: its schema
    belongs to the API server's migrations. No table is ever altered.
    """
    from sqlalchemy.exc import DBAPIError

    from ibutsu_tasks.database.engine import unreachable
    from ibutsu_tasks.database.tables import create_tables
    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.temporary_errors import is_temporary

    state = state_of(context)
    engine = Resources(state.settings, "db").engine
    try:
        number = create_tables(engine)
    except DBAPIError as error:
        if is_temporary(error):
            raise unreachable(error, state.settings.require_database()) from error
        reason = str(error.orig).partition("\n")[0]
        raise RefusedError(
            f"PostgreSQL refused to create the tables: {reason}.",
            "Name a user in POSTGRESQL_USER who may create tables in this database.",
        ) from error
    return Result(
        blocks=[f"Created {counted(number, 'table')} in the database {plain(str(engine.url.database))}."]
    )
