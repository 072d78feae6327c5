"""Backups of the database, of each tenant, of the WAL and of the configuration; all are checked again."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import shared_task
from sqlalchemy import select, text

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.tasks import DatabaseTask, Policy
from shop import postgresql
from shop.files import add_to_manifest, digest, replacing, write_csv
from shop.models import Backup, Order, Product, Tenant
from shop.postgresql import ProgramError
from shop.settings import BACKUP_DIR, CONFIG_DIR

if TYPE_CHECKING:
    from pathlib import Path

SLOT = "shop_wal"
"""Has the server keep its WAL until it is archived; set its `max_slot_wal_keep_size` to what may be lost."""

TWICE_MORE = Policy(retries=2, retry_on=(ProgramError,), pause_seconds=300, time_limit_seconds=7200)


def _directory(task: DatabaseTask) -> Path:
    directory: Path = task.resources.settings.value(BACKUP_DIR)
    return directory


@shared_task(name="shop.backups.dump", bind=True, base=DatabaseTask, policy=TWICE_MORE)
def dump(self: DatabaseTask) -> dict[str, Any]:
    """Dump the database, and see that pg_restore can read what came of it."""
    settings, directory = self.resources.settings, _directory(self)
    path = directory / f"database-{utc_now():%Y-%m-%d}.dump"
    with replacing(path) as draft:
        postgresql.run(
            settings, "pg_dump", "--format=custom", f"--file={draft}", postgresql.connection(settings)
        )
        listed = postgresql.run(settings, "pg_restore", "--list", draft)
        if " TABLE DATA " not in listed:
            raise ProgramError("pg_dump wrote a dump that holds no table.")
    with self.transaction() as (session, _):
        return add_to_manifest(session, directory, path, "database")


@shared_task(name="shop.backups.dump_tenants", bind=True, base=DatabaseTask)
def dump_tenants(self: DatabaseTask) -> int:
    """Have each tenant's rows dumped, by a message of its own."""
    with self.transaction() as (session, follow_ups):
        tenants = session.scalars(select(Tenant.id)).all()
        for tenant_id in tenants:
            follow_ups.send("shop.backups.dump_tenant", str(tenant_id))
    return len(tenants)


@shared_task(name="shop.backups.dump_tenant", bind=True, base=DatabaseTask)
def dump_tenant(self: DatabaseTask, tenant_id: str) -> list[dict[str, Any]]:
    """Write one tenant's products and orders as CSV."""
    directory, written = _directory(self), []
    with self.transaction() as (session, _):
        for model in (Product, Order):
            table = model.__table__
            rows = session.execute(select(table).where(table.c.tenant_id == UUID(tenant_id)))
            path = directory / f"tenant-{tenant_id}" / f"{utc_now():%Y-%m-%d}-{model.__tablename__}.csv"
            write_csv(path, table.columns.keys(), rows)
            written.append(add_to_manifest(session, directory, path, "tenant"))
    return written


@shared_task(
    name="shop.backups.archive_wal",
    bind=True,
    base=DatabaseTask,
    # The server gives its WAL to one at a time.
    policy=Policy(key=lambda: "wal", key_seconds=60, retries=2, retry_on=(ProgramError,)),
)
def archive_wal(self: DatabaseTask) -> list[str]:
    """Fetch the WAL written since the last time, and see that pg_waldump can read each new segment."""
    settings, directory = self.resources.settings, _directory(self)
    wal = directory / "wal"
    wal.mkdir(parents=True, exist_ok=True)
    with self.session() as session:
        slots = session.scalars(text("select slot_name from pg_replication_slots")).all()
        if SLOT not in slots:
            session.execute(text("select pg_create_physical_replication_slot(:slot, true)"), {"slot": SLOT})
        session.execute(text("select pg_switch_wal()"))
        # A record in the next segment, on the disk with the commit: the segment before it is whole.
        end = session.scalar(text("select pg_logical_emit_message(true, :slot, '')"), {"slot": SLOT})
    options = (f"--directory={wal}", f"--slot={SLOT}", "--no-loop", f"--endpos={end}")
    postgresql.run(settings, "pg_receivewal", *options, postgresql.connection(settings))
    with self.transaction() as (session, _):
        known = set(session.scalars(select(Backup.file).where(Backup.kind == "wal")))
        segments = [path for path in sorted(wal.iterdir()) if path.suffix != ".partial"]
        new = [path for path in segments if str(path.relative_to(directory)) not in known]
        for path in new:
            postgresql.run(settings, "pg_waldump", "--quiet", path)
            add_to_manifest(session, directory, path, "wal")
    return [path.name for path in new]


@shared_task(name="shop.backups.copy_configuration", bind=True, base=DatabaseTask)
def copy_configuration(self: DatabaseTask) -> dict[str, Any]:
    """Pack the directory of the configuration."""
    source, directory = self.resources.settings.value(CONFIG_DIR), _directory(self)
    if source is None:
        raise RefusedError("No configuration is backed up.", "Set SHOP_CONFIG_DIR to its directory.")
    path = directory / f"configuration-{utc_now():%Y-%m-%d}.tar.gz"
    with replacing(path) as draft, tarfile.open(draft, "w:gz") as archive:
        archive.add(source, arcname="configuration")
    with self.transaction() as (session, _):
        return add_to_manifest(session, directory, path, "configuration")


@shared_task(name="shop.backups.check", bind=True, base=DatabaseTask)
def check(self: DatabaseTask) -> list[str]:
    """Compare every file with the manifest; give those that are gone or were altered."""
    directory, faulty = _directory(self), []
    with self.session() as session:
        backups = session.scalars(select(Backup).order_by(Backup.file)).all()
    for done, backup in enumerate(backups):
        self.progress(done, len(backups))
        if fault := _fault_of(directory / backup.file, backup.sha256):
            faulty.append(backup.file)
        if fault != backup.fault:
            with self.session() as session:
                session.get_one(Backup, backup.file).fault = fault
    return faulty


def _fault_of(path: Path, sha256: str) -> str | None:
    try:
        return None if digest(path) == sha256 else "It was altered."
    except FileNotFoundError:
        return "It is gone."
