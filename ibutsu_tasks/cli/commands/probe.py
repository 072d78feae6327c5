"""`ibutsu-tasks probe`, a look at the processes on this host: its options and one call.

A plain call is answered in `__main__.py`, before any of this is imported; what is said is the same.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.health.heartbeat import private_directory
from ibutsu_tasks.health.probe import ask, sentences
from ibutsu_tasks.health.questions import QUESTIONS

app = command_app()


@app.command()
def probe(
    context: typer.Context,
    question: Annotated[
        Literal["live", "ready", "startup"],
        typer.Argument(
            metavar="QUESTION",
            help="; ".join(f"{name}: {meaning}" for name, meaning in QUESTIONS.items()) + ".",
        ),
    ],
    role: Annotated[
        Literal["worker", "beat", "flower"] | None, typer.Option(help="Ask processes of this role alone.")
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Ask the worker of this node name alone."),
    ] = None,
    json_wanted: JsonOption = False,
) -> Result:
    """Ask the worker, beat or Flower on this host whether it is well; ends with 1 when one is not.

    The processes write a heartbeat every few seconds, and this reads it: cheap enough for a probe of a
    container, and without a word to the broker.
    """
    settings = state_of(context, json_wanted=json_wanted).readable_settings
    answers = ask(question, private_directory(settings.scratch_dir), role, node)
    return Result(
        {"answers": [one._asdict() for one in answers]},
        [plain(sentence) for sentence in sentences(answers)],
        exit_code=ExitCode.DONE if all(one.holds for one in answers) else ExitCode.BAD_NEWS,
    )
