"""The check of the settings: what is missing, what cannot be used, and what does not fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.report import Finding, finding, variable_of
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.fields import DATABASE
from ibutsu_tasks.settings.scratch import problem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ibutsu_tasks.settings import Settings

LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "::1", "localhost"})

NEEDED = {
    "broker": ("broker_url",),
    "backend": ("result_backend", "own_cache_url"),
    "database": tuple(row.name for row in setting_rows().values() if row.group == DATABASE),
    "flower": ("flower_url",),
}
"""By check, the settings without which its service cannot even be tried."""


def unusable_settings(error: SettingsError) -> Finding:
    """Give the finding for a file of settings that could not be read."""
    return finding("IBT-S04", str(error), error.hint)


def obstacles(settings: Settings, checks: Collection[str]) -> dict[str, Finding]:
    """Give, by name of those among `checks`, why its service cannot even be tried."""
    found = {check: _obstacle(settings, check) for check in NEEDED if check in checks}
    return {check: obstacle for check, obstacle in found.items() if obstacle is not None}


def check_settings(settings: Settings) -> list[Finding]:
    """Look at the settings all checks need, and give advice; nothing connects."""
    services = {name for names in NEEDED.values() for name in names}
    others = [_unusable(settings, name, "IBT-S04") for name in settings.problems if name not in services]
    found = [*obstacles(settings, NEEDED).values(), *others, *_advice(settings)]
    return found or [finding("IBT-S00", _where_from(settings))]


def _obstacle(settings: Settings, check: str) -> Finding | None:
    for name in NEEDED[check]:
        if name in settings.problems:
            return _unusable(settings, name, "IBT-S03")
    require = {"broker": settings.require_broker, "database": settings.require_database}.get(check)
    try:
        if require is not None:
            require()
    except SettingsError as error:
        return finding("IBT-S01" if check == "broker" else "IBT-S02", str(error), error.hint)
    return None


def _unusable(settings: Settings, name: str, code: str) -> Finding:
    return finding(code, settings.problems[name], f"Correct {variable_of(settings, name)}.")


def _advice(settings: Settings) -> Iterator[Finding]:
    for remark in settings.remarks:
        yield finding("IBT-S13", remark, "Correct it, or take it out.")
    if problem := problem_of(settings.scratch_dir):
        yield finding(
            "IBT-S04", problem, f"Correct {variable_of(settings, 'scratch_dir')}, or mount one there."
        )
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
