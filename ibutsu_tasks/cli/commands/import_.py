"""`ibutsu-tasks import`, files through the queue: its options and one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app, seconds_option
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import UsageError

app = command_app()

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILES]...",
        help="JUnit XML files, archives of pytest-ibutsu, and formats of task packages; `-` is stdin.",
    ),
]
ProjectOption = Annotated[
    str | None,
    typer.Option("--project", "-p", help="Project of the runs, by name or id.", metavar="NAME"),
]
CreateProjectOption = Annotated[
    bool, typer.Option("--create-project", help="Make the project if it does not exist.")
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        "-m",
        metavar="KEY=VALUE",
        help="Metadata of the runs; a value may be JSON. Repeatable.",
    ),
]
SourceOption = Annotated[str | None, typer.Option("--source", help="Source of the runs.")]
PartialOption = Annotated[
    bool,
    typer.Option(
        "--partial", help="Of a file that is cut off or bad in the middle, keep the test cases before that."
    ),
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Send the files and leave.")]
WaitOption = Annotated[
    float | None, seconds_option("--wait", "Longest wait.", minimum=0.1, show_default="3600")
]
FollowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--follow", metavar="IMPORT_ID", help="Follow an earlier import in place of FILES. Repeatable."
    ),
]


@app.command(name="import")
def import_(
    context: typer.Context,
    files: FilesArgument = None,
    project: ProjectOption = None,
    create_project: CreateProjectOption = False,
    metadata: MetadataOption = None,
    source: SourceOption = None,
    partial: PartialOption = False,
    no_wait: NoWaitOption = False,
    wait_seconds: WaitOption = None,
    follow: FollowOption = None,
    json_wanted: JsonOption = False,
) -> Result:
    """Import files through the queue, as an upload to Ibutsu would, and show the runs they became.

    What a file is its content decides. Exit code 1 when some were not imported; the others are. A file
    that `--partial` kept a part of counts as imported.
    """
    state = state_of(context, json_wanted=json_wanted)
    if bool(files) == bool(follow):
        raise UsageError("Name FILES to import, or --follow an earlier import; one of the two.")
    if no_wait and (wait_seconds is not None or follow):
        raise UsageError("--no-wait goes neither with --wait nor with --follow.")
    if partial and follow:
        raise UsageError("--partial is said when a file is sent; it does not go with --follow.")
    if create_project and project is None:
        raise UsageError("--create-project needs --project NAME.")
    if [*map(str, files or ())].count("-") > 1:
        raise UsageError("- is given twice, and stdin can be read once.")
    from ibutsu_tasks.celery_app import create_client_app
    from ibutsu_tasks.cli.imports import session

    if project is not None:
        session.check_project(project, create=create_project)
    seconds = 0.0 if no_wait else wait_seconds or session.DEFAULT_WAIT_SECONDS
    parsed_metadata = session.parse_metadata(metadata or ())
    ids = session.parse_ids(follow or ())
    state.settings.require_services()
    client = create_client_app(state.settings)
    if ids:
        return session.follow_imports(state.output, client, ids, seconds)
    return session.import_files(
        state.output,
        client,
        files or [],
        project=project,
        create_project=create_project,
        wait_seconds=seconds,
        metadata=parsed_metadata or None,
        source=source,
        keeps_partial=partial,
    )
