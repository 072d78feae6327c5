"""One run of `ibutsu-tasks up`: settings in, the stack from its start to its end."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import create_broker_celery_app, create_client_app
from ibutsu_tasks.cli.exit_codes import code_of_signal
from ibutsu_tasks.cli.imports.session import import_files
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.up.log import StackLog
from ibutsu_tasks.cli.up.view import StackView
from ibutsu_tasks.local.servers.directories import open_log
from ibutsu_tasks.local.stack import LocalStack
from ibutsu_tasks.local.stop_signals import StopSignals
from ibutsu_tasks.sending.messages import consumed_queues
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.stack_record import StackRecord


def stay_up(state: CliState, settings: Settings, *, has_flower: bool, flower_port: int | None) -> Result:
    """Run all roles in the foreground until a signal ends them; give the exit code of that signal.

    Raises LocalServersError when the servers do not start or a role cannot be kept running.
    """
    view = _view(state, settings)
    _say_where_if_unexpected(view, settings)
    began = time.monotonic()
    with StopSignals() as stop_signals:
        try:
            with LocalStack(
                settings,
                stop_signals,
                roles=("worker", "beat", "flower") if has_flower else ("worker", "beat"),
                flower_port=flower_port,
                env_file=state.env_file,
                say=view.say,
                on_line=view.show_line,
                is_worker_ready=_worker_answers,
            ) as stack:
                view.show_ready(
                    stack.record,
                    stack.data_dir,
                    seconds=time.monotonic() - began,
                    is_default="data_dir" not in settings.sources,
                )
                stack.serve()
                view.say("stopping; Ctrl-C again hurries")
        except KeyboardInterrupt:
            view.say("stopped while starting")
        else:
            view.say("stopped")
    return Result(exit_code=code_of_signal(stop_signals.first))


def import_once(state: CliState, settings: Settings, files: Sequence[Path]) -> Result:
    """Run worker and beat for as long as the import of `files` takes; show and give what it came to.

    Raises LocalServersError as `stay_up` does.
    """
    view = _view(state, settings)
    _say_where_if_unexpected(view, settings)
    stop_signals = StopSignals()
    try:
        with (
            stop_signals,
            LocalStack(
                settings,
                stop_signals,
                roles=("worker", "beat"),
                env_file=state.env_file,
                say=view.say,
                on_line=partial(_log_line, settings.data_dir),
                is_worker_ready=_worker_answers,
                on_failure=_interrupt_main_thread,
            ) as stack,
        ):
            return _import_on(stack, state, settings, stop_signals, files)
    except KeyboardInterrupt:
        return Result(exit_code=code_of_signal(stop_signals.first))


def _import_on(
    stack: LocalStack, state: CliState, settings: Settings, stop_signals: StopSignals, files: Sequence[Path]
) -> Result:
    try:
        with stop_signals.interrupting():
            result = _import(state, settings, stack.record, files)
    except KeyboardInterrupt:
        if stack.failure is not None:
            raise stack.failure from None
        raise
    # Now, not when the stack has stopped.
    state.output.render(result)
    return Result(exit_code=result.exit_code)


def _import(state: CliState, settings: Settings, record: StackRecord, files: Sequence[Path]) -> Result:
    own = replace(settings, broker_url=record.broker_url, database_url=record.database_url)
    client = create_client_app(own)
    try:
        return import_files(state.output, client, files)
    finally:
        client.resources.close()


def _view(state: CliState, settings: Settings) -> StackView | StackLog:
    return StackLog() if settings.log_format == "json" else StackView(state.output.stderr)


def _say_where_if_unexpected(view: StackView | StackLog, settings: Settings) -> None:
    """Name the data directory where, without a home, it lies in the place for temporary files."""
    if "data_dir" not in settings.sources and settings.data_dir.parent == Path(tempfile.gettempdir()):
        view.say(f"data in {settings.data_dir}")


def _log_line(data_dir: Path, role: str, line: str) -> None:
    with open_log(data_dir, role).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def _worker_answers(broker_url: str) -> bool:
    return bool(consumed_queues(_app(broker_url)))


@cache
def _app(broker_url: str) -> Celery:
    return create_broker_celery_app(settings=load_settings({"broker_url": broker_url}, environ={}))


def _interrupt_main_thread() -> None:
    # Aimed at the thread itself, so that a wait it is in ends.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
