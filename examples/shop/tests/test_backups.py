"""Backups, made and checked by the programs of the embedded PostgreSQL."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from ibutsu_tasks.settings import load_settings
from shop.models import Backup, Order, Product
from shop.postgresql import ProgramError, run

if TYPE_CHECKING:
    from pathlib import Path

    from examples.shop.tests.conftest import Shop


def check_sums(shop: Shop) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"],
        cwd=shop.backups,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_dump_holds_the_rows_and_is_in_the_manifest(shop: Shop) -> None:
    shop.add_tenant("Zum goldenen Ring")
    made = shop.run("shop.backups.dump")
    listed = run(shop.settings, "pg_restore", "--data-only", "--file=-", shop.backups / made["file"])
    assert "Zum goldenen Ring" in listed
    assert check_sums(shop).stdout == f"{made['file']}: OK\n"
    # A second one on the same day takes its place.
    assert shop.run("shop.backups.dump")["file"] == made["file"]
    assert check_sums(shop).returncode == 0


def test_each_tenant_has_its_own_rows(shop: Shop) -> None:
    tenants = [shop.add_tenant(name) for name in ("one", "two")]
    for tenant in tenants:
        product = Product(tenant_id=tenant.id, name=f"ring {tenant.name}", grams=1, margin=0)
        shop.add(product)
        shop.add(Order(tenant_id=tenant.id, product_id=product.id, quantity=2, amount=Decimal("20.50")))
    assert shop.run("shop.backups.dump_tenants") == 2
    for tenant in tenants:
        products, orders = shop.run("shop.backups.dump_tenant", str(tenant.id))
        (_, row) = (shop.backups / products["file"]).read_text().splitlines()
        assert f"ring {tenant.name}" in row
        assert "20.50" in (shop.backups / orders["file"]).read_text()
    assert check_sums(shop).returncode == 0


def test_the_wal_is_archived_without_a_gap(shop: Shop) -> None:
    try:
        first = shop.run("shop.backups.archive_wal")
        shop.redis.delete("ibutsu-tasks:once:shop.backups.archive_wal:wal")
        shop.add_tenant("written since")
        second = shop.run("shop.backups.archive_wal")
    finally:
        with shop.engine.begin() as connection:
            connection.execute(text("select pg_drop_replication_slot('shop_wal')"))
    segments = [int(name[8:16], 16) * 256 + int(name[16:], 16) for name in (*first, *second)]
    assert first
    assert second
    assert segments == list(range(segments[0], segments[0] + len(segments)))
    assert b"written since" in b"".join((shop.backups / "wal" / name).read_bytes() for name in second)
    assert check_sums(shop).returncode == 0


def test_the_configuration_is_packed(shop: Shop) -> None:
    (shop.configuration / "shop.ini").write_text("open = yes\n")
    made = shop.run("shop.backups.copy_configuration")
    command = ["tar", "-xzOf", shop.backups / made["file"], "configuration/shop.ini"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=30).stdout == b"open = yes\n"


def test_what_was_altered_or_is_gone_is_found(shop: Shop) -> None:
    dump = shop.run("shop.backups.dump")["file"]
    packed = shop.run("shop.backups.copy_configuration")["file"]
    assert shop.run("shop.backups.check") == []
    with (shop.backups / dump).open("ab") as file:
        file.write(b"!")
    (shop.backups / packed).unlink()
    assert shop.run("shop.backups.check") == [packed, dump]
    with shop.session() as session:
        faults = dict(session.execute(select(Backup.file, Backup.fault)).all())
    assert faults == {dump: "It was altered.", packed: "It is gone."}
    shop.run("shop.backups.dump")
    assert shop.run("shop.backups.check") == [packed]


def test_a_missing_program_and_a_failing_one_are_said_in_a_sentence(shop: Shop, tmp_path: Path) -> None:
    elsewhere = load_settings(environ=shop.env | {"SHOP_POSTGRESQL_BIN": str(tmp_path)})
    with pytest.raises(ProgramError, match=r"^pg_dump is not installed, or not where it was looked for\.$"):
        run(elsewhere, "pg_dump")
    with pytest.raises(ProgramError, match=r"^pg_restore failed: .*nothing.dump"):
        run(shop.settings, "pg_restore", "--list", tmp_path / "nothing.dump")
