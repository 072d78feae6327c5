"""Start Flower in this process, as pid 1 would: its own command, with our settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery.bin.celery import celery as celery_command

from ibutsu_tasks.celery_app import create_app_variant
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.health.pulse import Pulse
from ibutsu_tasks.logs import configure_role_logs
from ibutsu_tasks.roles import flower_page
from ibutsu_tasks.roles.start import run_command
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.settings.sources import is_kubernetes_link

if TYPE_CHECKING:
    from celery import Celery

    from ibutsu_tasks.settings import Settings

FLOWER_LIMITS = ("--max_tasks=10000", "--purge_offline_workers=300")
"""A tenth of Flower's default, which grows past a gigabyte; workers gone for five minutes leave the page."""


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
    return run_command(
        _celery_with(app), ["flower", f"--conf={os.devnull}", *options, *flower_args], prog_name="celery"
    )


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


def _celery_with(app: Celery) -> Any:
    """Give Celery's command line with this application; Flower's command asks what stands above it."""
    for option in celery_command.params:
        if option.name == "app":
            option.default = app
        # Variables that many containers have, APP, LOADER or CONFIG_MODULE, would name modules to run.
        if option.name != "no_color":
            option.envvar = None
    return celery_command
