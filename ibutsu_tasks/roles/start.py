"""Start a role in this process, as pid 1 would: Celery's and Flower's own commands, with our settings.

The same applications serve `celery -A ibutsu_tasks:worker_app worker`.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from celery.bin.celery import celery as celery_command
from celery.exceptions import SecurityWarning

from ibutsu_tasks.celery_app import create_app_variant
from ibutsu_tasks.errors import SettingsError, UsageError
from ibutsu_tasks.health.pulse import Pulse
from ibutsu_tasks.logs import configure_role_logs
from ibutsu_tasks.roles import flower_page
from ibutsu_tasks.settings import load_settings, setting_rows
from ibutsu_tasks.settings.sources import OPTION, is_kubernetes_link
from ibutsu_tasks.wire_names import DEFAULT_QUEUE, OWN_QUEUE

if TYPE_CHECKING:
    from celery import Celery

    from ibutsu_tasks.settings import Settings

FLOWER_LIMITS = ("--max_tasks=10000", "--purge_offline_workers=300")
"""A tenth of Flower's default, which grows past a gigabyte; workers gone for five minutes leave the page."""


def run_worker(settings: Settings, celery_args: list[str]) -> int:
    """Run a worker until a signal ends it; give its exit code.

    Raises SettingsError when broker or database are not named.
    """
    _refuse_inconsistent(settings)
    app = create_app_variant("worker", settings)
    Pulse.of_process("worker", settings)
    queues = dict.fromkeys((DEFAULT_QUEUE, OWN_QUEUE, *settings.worker_queues))
    options = ["--queues", ",".join(queues), "--concurrency", str(settings.worker_concurrency)]
    if settings.worker_hostname:
        options += ["--hostname", settings.worker_hostname]
    return _run(app, [*_quiet(settings), "worker", "--loglevel", settings.log_level, *options, *celery_args])


def run_beat(settings: Settings, celery_args: list[str]) -> int:
    """Run the scheduler until a signal ends it; give its exit code.

    Raises SettingsError when no broker is named.
    """
    app = create_app_variant("scheduler", settings)
    Pulse.of_process("beat", settings)
    # No pid file: in a container the last one's, left behind by a kill, would stop the next start.
    return _run(
        app, [*_quiet(settings), "beat", "--loglevel", settings.log_level, "--pidfile", "", *celery_args]
    )


def run_flower(settings: Settings, flower_args: list[str]) -> int:
    """Run Flower until a signal ends it; give its exit code.

    Raises SettingsError when no broker is named, or when it would be open to other machines without a
    password: its pages show arguments and results, and its API can stop workers.
    """
    if not settings.flower_basic_auth and not flower_page.is_loopback(settings.flower_address):
        raise SettingsError(flower_page.open_to_all(settings.flower_address), flower_page.SET_AUTH)
    app = create_flower_app(settings)
    Pulse.of_process("flower", settings)
    options = [f"--address={settings.flower_address}", f"--port={settings.flower_port}", *FLOWER_LIMITS]
    # Flower executes a flowerconfig.py of the working directory unless told of another file.
    return _run(app, ["flower", f"--conf={os.devnull}", *options, *flower_args])


def create_flower_app(settings: Settings | None = None) -> Celery:
    """Build the application of Flower, and see to it that any Flower of this process keeps to itself.

    Raises SettingsError when no broker is named.
    """
    settings = settings or load_settings()
    app = create_app_variant("flower", settings)
    # Flower reads its variables itself: it stops at what Kubernetes puts there, and an empty password closes
    # its page to everybody.
    for name in [name for name in os.environ if name.startswith("FLOWER_")]:
        if not os.environ[name] or (name == "FLOWER_PORT" and is_kubernetes_link(os.environ[name])):
            del os.environ[name]
    # Tornado adds a handler of its own only where there is none.
    configure_role_logs(settings, "flower")
    flower_page.guard(settings)
    return app


def _refuse_inconsistent(settings: Settings) -> None:
    soft, hard = settings.task_soft_time_limit_seconds, settings.task_time_limit_seconds
    if soft is None or hard is None or soft < hard:
        return
    names = ("task_soft_time_limit_seconds", "task_time_limit_seconds")
    is_wrong_usage = any(settings.source(name).startswith(f"{OPTION} ") for name in names)
    kind = UsageError if is_wrong_usage else SettingsError
    raise kind(
        f"The soft time limit ({soft:g} s) is not below the hard one ({hard:g} s):"
        " a task would be killed before it is asked to end.",
        f"Set --soft-time-limit, or {setting_rows()[names[0]].variables[0]}, below {hard:g}.",
    )


def _quiet(settings: Settings) -> list[str]:
    """Leave out Celery's banner where every line must be JSON."""
    return ["--quiet"] if settings.log_format == "json" else []


def _run(app: Celery, arguments: list[str]) -> int:
    """Hand over to Celery's own command line, which parses, reports wrong options and handles signals."""
    for option in celery_command.params:
        if option.name == "app":
            option.default = app
        # Variables that many containers have, APP, LOADER or CONFIG_MODULE, would name modules to run.
        if option.name != "no_color":
            option.envvar = None
    # The warning about root is about pickled messages; these applications accept JSON alone.
    warnings.simplefilter("ignore", SecurityWarning)
    try:
        celery_command.main(args=arguments, prog_name="celery")
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        return end.code
    raise AssertionError("Celery's command line always ends in SystemExit")
