"""The check of the settings: what is missing, what cannot be used, and what does not fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ibutsu_tasks import broker
from ibutsu_tasks.doctor.report import Finding, finding, reason_of, variable_of
from ibutsu_tasks.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from ibutsu_tasks.settings import Settings

LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "::1", "localhost"})


def unusable_settings(error: SettingsError) -> Finding:
    """Give the finding for settings that could not even be read."""
    return finding("IBT-S04", str(error), error.hint)


def obstacles(settings: Settings, checks: Collection[str]) -> dict[str, Finding]:
    """Give, by name of those among `checks`, why its service cannot even be tried."""
    found = {check: _OBSTACLES[check](settings) for check in _OBSTACLES if check in checks}
    return {check: obstacle for check, obstacle in found.items() if obstacle is not None}


def check_settings(settings: Settings) -> list[Finding]:
    """Look at the settings all checks need, and give advice; nothing connects."""
    found = [*obstacles(settings, _OBSTACLES).values(), *_advice(settings)]
    return found or [finding("IBT-S00", _where_from(settings))]


def _broker_obstacle(settings: Settings) -> Finding | None:
    try:
        settings.require_broker()
    except SettingsError as error:
        return finding("IBT-S01", str(error), error.hint)
    return _redis_obstacle(settings, "broker_url")


def _redis_obstacle(settings: Settings, field: str) -> Finding | None:
    url = getattr(settings, field)
    if url is None:
        return None
    try:
        broker.describe(url)
        broker.build_client(url)
    except ValueError as error:
        return _unusable(settings, field, error, "redis://:PASSWORD@HOST:6379/0")
    return None


def _database_obstacle(settings: Settings) -> Finding | None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(settings.require_database())
    except SettingsError as error:
        return finding("IBT-S02", str(error), error.hint)
    except (ArgumentError, ValueError) as error:
        return _unusable(settings, "database_url", error, "postgresql://USER:PASSWORD@HOST:5432/NAME")
    return None


def _flower_obstacle(settings: Settings) -> Finding | None:
    if settings.flower_url is None:
        return None
    try:
        parts = urlsplit(settings.flower_url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    error = ValueError("it is not a web address")
    return None if usable else _unusable(settings, "flower_url", error, "http://127.0.0.1:5555")


_OBSTACLES: dict[str, Callable[[Settings], Finding | None]] = {
    "broker": _broker_obstacle,
    "backend": lambda settings: _redis_obstacle(settings, "result_backend"),
    "database": _database_obstacle,
    "flower": _flower_obstacle,
}


def _unusable(settings: Settings, field: str, error: Exception, pattern: str) -> Finding:
    variable = variable_of(settings, field)
    return finding(
        "IBT-S03",
        f"{variable} cannot be used: {reason_of(error, settings)}.",
        f"Write {variable} like {pattern}.",
    )


def _advice(settings: Settings) -> Iterator[Finding]:
    soft, hard = settings.task_soft_time_limit_seconds, settings.task_time_limit_seconds
    if soft is not None and hard is not None and soft >= hard:
        yield finding(
            "IBT-S10",
            f"The soft time limit of a task ({soft:g} s) is not below the hard one ({hard:g} s): "
            "a task is killed before it is asked to end.",
            f"Set {variable_of(settings, 'task_soft_time_limit_seconds')} below {hard:g}.",
        )
    if settings.flower_address not in LOOPBACK_ADDRESSES and not settings.flower_basic_auth:
        yield finding(
            "IBT-S11",
            f"Flower is to listen on {settings.flower_address} and has no password: it will not start.",
            "Set FLOWER_BASIC_AUTH=user:password.",
        )
    parts = ("postgresql_host", "postgresql_database", "postgresql_user", "postgresql_password")
    given = [variable_of(settings, part) for part in parts if part in settings.sources]
    if settings.database_url and given:
        winner = variable_of(settings, "database_url")
        yield finding(
            "IBT-S12",
            f"{winner} is used, so {', '.join(given)} {'has' if len(given) == 1 else 'have'} no effect.",
            f"Unset {winner}, or the variables without effect.",
        )


def _where_from(settings: Settings) -> str:
    database = "database_url" if settings.database_url else "postgresql_host"
    services = {"broker": "broker_url", "database": database}
    sources = [
        f"{service} from {settings.sources[field]}"
        for service, field in services.items()
        if field in settings.sources
    ]
    return f"All usable: {', '.join(sources)}." if sources else "All usable."
