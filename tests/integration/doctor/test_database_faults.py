"""PostgreSQL with everything that can be wrong about an address, a user or a schema, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from ibutsu_tasks.doctor import examine
from ibutsu_tasks.doctor.codes import Severity, Verdict
from ibutsu_tasks.settings import load_settings
from tests.doors import blackhole, dead_port, dripping, silence, speaking

from .conftest import SECRET, Diagnose

if TYPE_CHECKING:
    from pathlib import Path


def codes(database_url: str) -> list[str]:
    report = examine(load_settings({"database_url": database_url}, environ={}), ["database"])
    return [item.code for item in report.findings]


def change(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_a_good_database(diagnose: Diagnose, database_url: str) -> None:
    found = diagnose("database", database_url=database_url)
    assert found.code == "IBT-D00"
    assert "12 tables" in found.seen


def test_the_schema_version_is_told(diagnose: Diagnose, database_url: str, engine: Engine) -> None:
    change(
        engine,
        "create table alembic_version (version_num text)",
        "insert into alembic_version values ('d18de2b3253f')",
    )
    assert "d18de2b3253f" in diagnose("database", database_url=database_url).seen


def test_dead_port(diagnose: Diagnose) -> None:
    found = diagnose("database", database_url=f"postgresql://u:{SECRET}@127.0.0.1:{dead_port()}/ibutsu")
    assert found.code == "IBT-D01"


def test_dead_port_by_parts(diagnose: Diagnose) -> None:
    found = diagnose(
        "database",
        postgresql_host="127.0.0.1",
        postgresql_port=str(dead_port()),
        postgresql_user="someone",
        postgresql_password=SECRET,
        postgresql_database="ibutsu",
    )
    assert found.code == "IBT-D01"
    assert "postgresql-host" in found.hint


def test_missing_socket(diagnose: Diagnose, tmp_path: Path) -> None:
    assert diagnose("database", database_url=f"postgresql://u@/ibutsu?host={tmp_path}").code == "IBT-D01"


def test_missing_database(diagnose: Diagnose, database_url: str) -> None:
    url = make_url(database_url).set(database="nowhere").render_as_string()
    found = diagnose("database", database_url=url)
    assert found.code == "IBT-D11"
    assert "createdb nowhere" in found.hint


def test_missing_user(diagnose: Diagnose, database_url: str) -> None:
    url = make_url(database_url).set(username="nobody_here").render_as_string()
    assert diagnose("database", database_url=url).code == "IBT-D10"


def test_passwords(diagnose: Diagnose, database_url: str, log_in_rules: str) -> None:
    url = make_url(database_url).set(username="doctor_password")

    def with_password(password: str | None) -> str:
        return url.set(password=password).render_as_string(hide_password=False)

    wrong = diagnose("database", database_url=with_password(f"{SECRET}x"))
    assert (wrong.code, "doctor_password" in wrong.seen) == ("IBT-D04", True)
    assert diagnose("database", database_url=with_password(None)).code == "IBT-D05"
    allowed = diagnose("database", database_url=with_password(SECRET))
    assert allowed.code == "IBT-D28"
    assert "grant select, insert" in allowed.hint
    assert log_in_rules in str(url)


def test_a_user_who_is_shut_out(diagnose: Diagnose, database_url: str, log_in_rules: str) -> None:
    url = make_url(database_url).set(username="doctor_barred").render_as_string()
    found = diagnose("database", database_url=url)
    assert (found.code, log_in_rules in found.seen) == ("IBT-D07", True)


def test_a_user_who_may_not_connect(
    diagnose: Diagnose, database_url: str, engine: Engine, log_in_rules: str
) -> None:
    change(engine, f"revoke connect on database {log_in_rules} from public")
    url = make_url(database_url).set(username="doctor_password", password=SECRET)
    assert diagnose("database", database_url=url.render_as_string(hide_password=False)).code == "IBT-D14"


def test_tls_where_there_is_none(diagnose: Diagnose, postgresql_port: int) -> None:
    address = f"127.0.0.1:{postgresql_port}/ibutsu"
    found = diagnose("database", database_url=f"postgresql://ibutsu@{address}?sslmode=require")
    assert found.code == "IBT-D06"
    assert "sslmode=prefer" in found.hint


def test_unknown_host(diagnose: Diagnose) -> None:
    assert diagnose("database", database_url="postgresql://u@no-such-host.invalid/x").code == "IBT-D03"


def test_option_of_a_wrong_value(diagnose: Diagnose, database_url: str) -> None:
    assert diagnose("database", database_url=f"{database_url}&sslnegotiation=vanilla").code == "IBT-D15"


def test_hosts_that_swallow(diagnose: Diagnose) -> None:
    with silence() as quiet, blackhole() as hole:
        for port in (quiet, hole):
            url = f"postgresql://u:{SECRET}@127.0.0.1:{port}/ibutsu"
            assert diagnose("database", database_url=url).code == "IBT-D02"


def test_a_host_that_drips_bytes(diagnose: Diagnose) -> None:
    # `R` begins an answer to the log-in; its length promises more than will ever come.
    with dripping(b"NR\x00\x00\x07\xd0") as port:
        url = f"postgresql://u:{SECRET}@127.0.0.1:{port}/ibutsu"
        assert diagnose("database", database_url=url).code in {"IBT-D02", "IBT-D90", "IBT-D09"}


def test_another_protocol(diagnose: Diagnose, valkey_port: int) -> None:
    with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        url = f"postgresql://u@127.0.0.1:{port}/ibutsu"
        assert diagnose("database", database_url=url).code == "IBT-D09"
    # Redis waits for a line that never ends, as we wait for its answer.
    url = f"postgresql://u@127.0.0.1:{valkey_port}/ibutsu"
    assert diagnose("database", database_url=url).code == "IBT-D02"


def test_an_empty_database(diagnose: Diagnose, empty_database_url: str) -> None:
    found = diagnose("database", database_url=empty_database_url)
    assert found.code == "IBT-D20"
    assert "ibutsu-tasks db create" in found.hint


def test_a_database_of_something_else(diagnose: Diagnose, empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    change(engine, "create table invoices (id int)")
    other = diagnose("database", database_url=empty_database_url)
    change(engine, "create table alembic_version (version_num text)")
    unmigrated = diagnose("database", database_url=empty_database_url)
    engine.dispose()
    assert (other.code, unmigrated.code) == ("IBT-D21", "IBT-D21")
    assert "Name the database" in other.hint
    assert "migrations" in unmigrated.hint


def test_missing_tables(diagnose: Diagnose, database_url: str, engine: Engine) -> None:
    change(engine, "drop table tokens, widget_configs")
    found = diagnose("database", database_url=database_url)
    assert found.code == "IBT-D21"
    assert "widget_configs" in found.seen
    assert "tokens" in found.seen


def test_wrong_columns_and_indexes(database_url: str, engine: Engine) -> None:
    change(
        engine,
        "alter table runs drop column component",
        "alter table results alter column duration type text",
        "alter table artifacts add column shelf text not null",
        "drop index ix_results_tags",
    )
    assert codes(database_url) == ["IBT-D22", "IBT-D23", "IBT-D24", "IBT-D25"]


def test_the_missing_column_is_named(diagnose: Diagnose, database_url: str, engine: Engine) -> None:
    change(engine, "alter table tokens drop column expires")
    assert "tokens.expires" in diagnose("database", database_url=database_url).seen


def test_read_only_transactions(diagnose: Diagnose, database_url: str, engine: Engine) -> None:
    name = make_url(database_url).database
    change(engine, f"alter database {name} set default_transaction_read_only = on")
    found = diagnose("database", database_url=database_url)
    assert found.code == "IBT-D27"
    assert "default_transaction_read_only = off" in found.hint


def test_a_locked_table_does_not_hold_the_doctor(database_url: str, engine: Engine) -> None:
    change(engine, "create table alembic_version (version_num text)")
    with engine.begin() as connection:
        connection.execute(text("lock table alembic_version in access exclusive mode"))
        assert codes(database_url) == ["IBT-D16"]


def test_a_missing_index_alone_is_not_bad_news(database_url: str, engine: Engine) -> None:
    change(engine, "drop index ix_runs_summary")
    report = examine(load_settings({"database_url": database_url}, environ={}), ["database"])
    assert [item.severity for item in report.findings] == [Severity.WARNING]
    assert report.verdict is Verdict.GOOD
