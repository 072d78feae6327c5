"""The whole system in one terminal: embedded servers and the roles on them, watched over until the end."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from redis import Redis, RedisError
from sqlalchemy import inspect

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.garbled import find_garbled, move_aside
from ibutsu_tasks.broker.layout import BEAT_LEADER_KEY, QUARANTINE, restore_unacked
from ibutsu_tasks.database.engine import build_engine
from ibutsu_tasks.database.tables import create_tables, missing_tables
from ibutsu_tasks.delivery.dead.quarantine import set_aside
from ibutsu_tasks.errors import BrokerUnreachableError, IbutsuTasksError, LocalServersError
from ibutsu_tasks.local.guard import Guard, end_leftover_roles
from ibutsu_tasks.local.processes import ProcessMark, wait_until
from ibutsu_tasks.local.readiness import choose_flower_port, readiness_checks
from ibutsu_tasks.local.role_processes import FLOWER, ROLES, WORKER, Role, RoleProcess, role_environment
from ibutsu_tasks.local.servers.directories import (
    data_directory_errors,
    prepare_data_directory,
    reset_command,
)
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.local.supervisor import Supervisor
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.stack_record import StackRecord, hold_stack_lock, remove_record, write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ibutsu_tasks.local.stop_signals import StopSignals
    from ibutsu_tasks.settings import Settings

READY_TIMEOUT_SECONDS = 60.0
# Of the ten seconds a stop may take: what is left for the servers after slow roles.
SHORTEST_SERVERS_STOP_SECONDS = 1.5
STOP_TIMEOUT_SECONDS = 9.0
FLOWER_USER = "ibutsu"


class LocalStack:
    """Servers, tables and roles of one data directory; ready on entry, all gone on exit.

    Without `flower_port` the first free one from 5555 is taken. The roles read `env_file` too.
    `say` gets sentences, `on_line` a role's name and a line of its output. `is_worker_ready` gets the
    broker's address and says whether a worker answers there. `on_failure` is called, from another thread,
    when a role cannot be kept running; `failure` then says why.
    """

    def __init__(
        self,
        settings: Settings,
        stop_signals: StopSignals,
        *,
        roles: Sequence[str],
        flower_port: int | None = None,
        env_file: Path | None = None,
        say: Callable[[str], None],
        on_line: Callable[[str, str], None],
        is_worker_ready: Callable[[str], bool],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings, self._stop_signals = settings, stop_signals
        self._roles, self._flower_port = roles, flower_port
        self._global_options = ("--env-file", str(env_file.absolute())) if env_file else ()
        self._say, self._on_line = say, on_line
        self._is_worker_ready, self._on_failure = is_worker_ready, on_failure
        self._exit = ExitStack()
        self._stop_began = 0.0

    def __enter__(self) -> Self:
        with data_directory_errors(self._settings.data_dir), self._exit:
            self._start()
            self._exit = self._exit.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with data_directory_errors(self.data_dir):
            self._exit.close()

    @property
    def failure(self) -> IbutsuTasksError | None:
        """Why a role cannot be kept running, once it is so."""
        return self._supervisor.failure

    def serve(self) -> None:
        """Stay until a signal asks to stop. Raises IbutsuTasksError when a role cannot be kept running."""
        while not self._stop_signals.requested:
            if self.failure is not None:
                raise self.failure
            time.sleep(0.1)

    def _start(self) -> None:
        self.data_dir = prepare_data_directory(self._settings.data_dir)
        self._exit.enter_context(hold_stack_lock(self.data_dir))
        if FLOWER.name in self._roles:
            # Refused now, not when a cluster has been made; chosen when it is needed.
            choose_flower_port(self._flower_port)
        self._me = ProcessMark.of(os.getpid())
        self._guard = Guard(self.data_dir, self._me, self._say)
        self._exit.callback(self._guard.dismiss)
        if count := end_leftover_roles(self.data_dir):
            self._say(f"ended {count} processes that an earlier stack had left")
        self.servers = LocalServers(self.data_dir, on_progress=self._say)
        self.servers.start()
        self._exit.callback(self._stop_servers)
        self._check_in()
        self._restore_messages()
        self._ensure_tables()
        self._start_roles()
        self._wait_until_ready()
        self._exit.callback(remove_record, self.data_dir)
        write_record(self.data_dir, self.record)

    def _check_in(self) -> None:
        if self._stop_signals.requested:
            raise KeyboardInterrupt

    def _restore_messages(self) -> None:
        try:
            with build_client(self.servers.broker_url) as client:
                if len(client.client_list()) == 1:  # Others who work here hold messages rightly.
                    self._restore(client)
        except (RedisError, OSError) as error:
            raise unreachable(error, self.servers.broker_url) from error

    def _restore(self, client: Redis) -> None:
        for garbled in find_garbled(client, self._settings.consumed_queues):
            self._say(f"{garbled}: it was moved aside, to {move_aside(client, garbled)}")
        client.delete(BEAT_LEADER_KEY)
        count = restore_unacked(client, self.servers.broker_url, partial(self._set_aside, client))
        if count:
            self._say(f"put {count} messages of killed workers back in the queue")

    def _set_aside(self, client: Redis, value: bytes) -> None:
        set_aside(client, value, "", "held by a worker that was killed, and no message")
        self._say(f"set aside what a killed worker held and is no message; it is in Redis, in {QUARANTINE}")

    def _ensure_tables(self) -> None:
        engine = build_engine(self.servers.database_url, "ibutsu-tasks/up")
        try:
            is_empty = not inspect(engine).get_table_names()
            missing = missing_tables(engine)
            if is_empty or missing.keys() - _migrated():
                self._say("creating the tables")
                create_tables(engine)
                missing = missing_tables(engine)
        finally:
            engine.dispose()
        for tables in missing.values():
            raise LocalServersError(
                f"The database on {self.data_dir} lacks the tables {', '.join(tables)}.",
                f"Start with empty data: {reset_command(self.data_dir)}.",
            )

    def _start_roles(self) -> None:
        roles = [ROLES[name] for name in self._roles]
        self.record = self._describe(has_flower=FLOWER in roles)
        environment = role_environment(self._variables())
        self._supervisor = Supervisor(
            self.data_dir,
            self._me,
            roles,
            lambda role: RoleProcess(role, environment, self._on_line, self._global_options),
            say=self._say,
            restart_servers=self._restart_servers,
            before_restart=self._prepare_restart,
            on_failure=self._on_failure,
        )
        self._exit.callback(self._stop_roles)
        self._say(f"starting {', '.join(self._roles)}")
        self._supervisor.start()

    def _describe(self, *, has_flower: bool) -> StackRecord:
        address = f"http://127.0.0.1:{choose_flower_port(self._flower_port)}" if has_flower else None
        # Only letters, digits, - and _: Flower splits what it is given at commas.
        login = self._settings.flower_basic_auth or f"{FLOWER_USER}:{secrets.token_urlsafe(12)}"
        return StackRecord(
            pid=os.getpid(),
            broker_url=self.servers.broker_url,
            database_url=self.servers.database_url,
            flower_url=address,
            flower_basic_auth=login if has_flower else None,
        )

    def _variables(self) -> dict[str, str]:
        own = {
            "CELERY_BROKER_URL": self.record.broker_url,
            "CELERY_RESULT_BACKEND": self.record.broker_url,
            "SQLALCHEMY_DATABASE_URI": self.record.database_url,
            "IBUTSU_TASKS_DATA_DIR": str(self.data_dir),
            "CELERY_WORKER_CONCURRENCY": str(self._settings.worker_concurrency),
            "CELERY_WORKER_LOGLEVEL": self._settings.log_level,
            "IBUTSU_TASKS_LOG_FORMAT": self._settings.log_format,
        }
        if self.record.flower_url and self.record.flower_basic_auth:
            own["FLOWER_ADDRESS"] = "127.0.0.1"
            own["FLOWER_PORT"] = self.record.flower_url.rpartition(":")[2]
            own["FLOWER_BASIC_AUTH"] = self.record.flower_basic_auth
        return own

    def _restart_servers(self) -> None:
        self._guard.restart_if_ended()
        self.servers.restart_ended()

    def _prepare_restart(self, role: Role) -> None:
        # What it held waits for the next start of the stack when the broker is gone as well.
        with suppress(BrokerUnreachableError, RedisError):
            if role is WORKER and not self._is_worker_ready(self.servers.broker_url):
                with build_client(self.servers.broker_url) as client:
                    restore_unacked(client, self.servers.broker_url, partial(self._set_aside, client))

    def _wait_until_ready(self) -> None:
        checks = readiness_checks(self.record, self._is_worker_ready)
        for name in self._roles:
            if not wait_until(partial(self._is_over_or, checks[name]), READY_TIMEOUT_SECONDS):
                raise LocalServersError(
                    f"{name} was not ready within {READY_TIMEOUT_SECONDS:.0f} seconds.",
                    "Read what it wrote above.",
                )
            if self.failure is not None:
                raise self.failure
            self._check_in()

    def _is_over_or(self, is_ready: Callable[[], bool]) -> bool:
        return self._stop_signals.requested or self.failure is not None or is_ready()

    def _stop_roles(self) -> None:
        self._stop_began = time.monotonic()
        self._supervisor.stop(lambda: self._stop_signals.hurried)

    def _stop_servers(self) -> None:
        began = self._stop_began or time.monotonic()
        left_seconds = STOP_TIMEOUT_SECONDS - (time.monotonic() - began)
        self.servers.stop(max(left_seconds, SHORTEST_SERVERS_STOP_SECONDS))


def _migrated() -> set[str]:
    """Name the task packages whose tables somebody else looks after, so that they are all there or none."""
    return {package.name for package in loaded().packages if package.migrate}
