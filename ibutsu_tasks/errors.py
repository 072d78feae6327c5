"""Every exception raised on purpose: a sentence for the user and a hint at the next step."""

from __future__ import annotations


class IbutsuTasksError(Exception):
    """Something foreseen went wrong.

    `str(error)` is one sentence that says what and where; `error.hint` says what to do about it.
    """

    hint = ""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UsageError(IbutsuTasksError):
    """The command line asks for something that does not exist or does not fit together."""


class TaskArgumentsError(UsageError):
    """The arguments given do not fit the task's signature."""


class SettingsError(IbutsuTasksError):
    """One or more settings are missing or invalid; the message lists all of them."""


class ServiceUnreachableError(IbutsuTasksError):
    """A service did not answer in time, refused us, or is not what it should be."""


class BrokerUnreachableError(ServiceUnreachableError):
    """Redis or Valkey cannot be reached."""

    hint = "Check CELERY_BROKER_URL, then run `ibutsu-tasks doctor --only broker`."


class DatabaseUnreachableError(ServiceUnreachableError):
    """PostgreSQL cannot be reached."""

    hint = "Check the POSTGRESQL_* variables, then run `ibutsu-tasks doctor --only database`."


class WaitTimeoutError(IbutsuTasksError):
    """What was waited for did not happen in time."""


class RefusedError(IbutsuTasksError):
    """The request was understood and is refused for a reason the message gives."""


class BusyError(RefusedError):
    """Somebody else holds, for a moment, what is needed."""


class KilledTooOftenError(RefusedError):
    """A task whose process was killed each time it ran; its message is set aside and not tried again."""

    hint = "`ibutsu-tasks dead list` shows the message, `dead retry` sends it again."


class InvalidImportError(RefusedError):
    """A file cannot be imported; the message is what the user of the web page reads."""

    hint = "Mend the file and upload it again."
    warnings: tuple[str, ...] = ()
    """What is to be said of the file besides, as far as it was read."""


class InvalidFilterError(RefusedError):
    """A filter of a query does not follow the grammar `<field><operator><value>`."""


class DatabaseSchemaError(RefusedError):
    """The database answers, and lacks a table, a column or a permission we need."""

    hint = "`ibutsu-tasks doctor --only database` says what is missing; `db create` fills an empty database."


class LocalServersError(IbutsuTasksError):
    """The embedded servers cannot be installed, started or stopped here."""
