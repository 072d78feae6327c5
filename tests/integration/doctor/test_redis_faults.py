"""Broker and result backend with everything that can be wrong about an address, on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.delivery.dead.quarantine import set_aside
from ibutsu_tasks.doctor import examine
from ibutsu_tasks.doctor.codes import Severity, Verdict
from ibutsu_tasks.settings import load_settings
from tests.doors import (
    blackhole,
    dead_port,
    dripping,
    forwarding,
    own_valkey,
    server_context,
    silence,
    speaking,
)
from tests.worker_system import message_text

from .conftest import SECRET, Diagnose

if TYPE_CHECKING:
    from collections.abc import Iterator

NARROW_USER = ("narrow", "on", ">narrow-pass", "~*", "+ping", "+client")


@pytest.fixture(scope="module")
def locked_port() -> Iterator[int]:
    """A Valkey with a password, and a user who may only ping."""
    with own_valkey("--requirepass", SECRET, "--user", *NARROW_USER) as port:
        yield port


def test_a_good_broker_and_backend(diagnose: Diagnose, broker_url: str) -> None:
    assert diagnose("broker", broker_url=broker_url).code == "IBT-B00"
    assert diagnose("backend", broker_url=broker_url).code == "IBT-R00"
    with build_client(broker_url) as client:
        assert client.dbsize() == 0


def test_messages_that_were_set_aside(broker_url: str) -> None:
    with build_client(broker_url) as client:
        for message in (b"hello", b"\xff", message_text("runs.update_run", '"1"')[1].encode()):
            set_aside(client, message, "celery", "it is not JSON")
    report = examine(load_settings({"broker_url": broker_url}, environ={}), ["broker"])
    assert [one.code for one in report.findings] == ["IBT-B00", "IBT-B30"]
    seen = report.findings[1].seen
    assert "3 messages were set aside by workers, for none could carry them out: " in seen
    assert "no task (2), update_run (1); the oldest at 20" in seen
    assert "dead list" in report.findings[1].hint


def test_one_message_that_was_set_aside(broker_url: str) -> None:
    with build_client(broker_url) as client:
        set_aside(client, b"hello", "celery", "it is not JSON")
    seen = examine(load_settings({"broker_url": broker_url}, environ={}), ["broker"]).findings[1].seen
    assert seen.startswith("1 message was set aside by workers, for none could carry it out: no task (1)")


def test_right_password_by_tcp(diagnose: Diagnose, locked_port: int) -> None:
    assert diagnose("broker", broker_url=f"redis://:{SECRET}@127.0.0.1:{locked_port}/0").code == "IBT-B00"


def test_dead_port(diagnose: Diagnose) -> None:
    found = diagnose("broker", broker_url=f"redis://:{SECRET}@127.0.0.1:{dead_port()}/0")
    assert found.code == "IBT-B01"
    assert "refused" in found.seen


def test_missing_socket(diagnose: Diagnose, tmp_path: Path) -> None:
    found = diagnose("broker", broker_url=f"redis+socket://{tmp_path}/none.sock")
    assert (found.code, "no such socket" in found.seen) == ("IBT-B01", True)


def test_wrong_password(diagnose: Diagnose, locked_port: int) -> None:
    found = diagnose("broker", broker_url=f"redis://:{SECRET}x@127.0.0.1:{locked_port}/0")
    assert found.code == "IBT-B04"
    assert "refuses the password" in found.seen
    assert "--broker-url" in found.hint


def test_missing_password(diagnose: Diagnose, locked_port: int) -> None:
    assert diagnose("broker", broker_url=f"redis://127.0.0.1:{locked_port}/0").code == "IBT-B05"


def test_password_of_the_backend_alone(diagnose: Diagnose, broker_url: str, locked_port: int) -> None:
    found = diagnose(
        "backend",
        broker_url=broker_url,
        result_backend=f"redis://:wrong{SECRET}@127.0.0.1:{locked_port}/0",
    )
    assert found.code == "IBT-R04"
    assert "result-backend" in found.hint


def test_missing_permissions(diagnose: Diagnose, locked_port: int) -> None:
    url = f"redis://narrow:narrow-pass@127.0.0.1:{locked_port}/0"
    assert diagnose("broker", broker_url=url).code == "IBT-B29"
    assert diagnose("backend", broker_url=url).code == "IBT-R26"


def test_database_number_that_does_not_exist(diagnose: Diagnose, valkey_port: int) -> None:
    assert diagnose("broker", broker_url=f"redis://127.0.0.1:{valkey_port}/999").code == "IBT-B10"


def test_unknown_host(diagnose: Diagnose) -> None:
    assert diagnose("broker", broker_url="redis://no-such-host.invalid:6379/0").code == "IBT-B03"


def test_tls_where_there_is_none(diagnose: Diagnose, valkey_port: int) -> None:
    found = diagnose("broker", broker_url=f"rediss://:{SECRET}@127.0.0.1:{valkey_port}/0")
    assert found.code == "IBT-B06"
    assert "redis:// in place of rediss://" in found.hint


def test_no_tls_where_it_is_needed(diagnose: Diagnose, broker_url: str, tmp_path: Path) -> None:
    context = server_context(tmp_path)
    if context is None:
        pytest.skip("no openssl program")
    with forwarding(Path(urlsplit(broker_url).path), context) as port:
        assert diagnose("broker", broker_url=f"redis://127.0.0.1:{port}/0").code == "IBT-B07"


def test_certificate_of_nobody(diagnose: Diagnose, broker_url: str, tmp_path: Path) -> None:
    context = server_context(tmp_path)
    if context is None:
        pytest.skip("no openssl program")
    trusted = f"ssl_ca_certs={tmp_path}/certificate.pem"
    with forwarding(Path(urlsplit(broker_url).path), context) as port:
        assert diagnose("broker", broker_url=f"rediss://127.0.0.1:{port}/0").code == "IBT-B08"
        assert diagnose("broker", broker_url=f"rediss://127.0.0.1:{port}/0?{trusted}").code == "IBT-B00"


def test_a_host_that_never_answers(diagnose: Diagnose) -> None:
    with silence() as port:
        for scheme in ("redis", "rediss"):
            found = diagnose("broker", broker_url=f"{scheme}://:{SECRET}@127.0.0.1:{port}/0")
            assert found.code == "IBT-B02"


def test_a_host_that_swallows_packets(diagnose: Diagnose) -> None:
    with blackhole() as port:
        assert diagnose("broker", broker_url=f"redis://127.0.0.1:{port}/0").code == "IBT-B02"


def test_a_host_that_drips_bytes(diagnose: Diagnose) -> None:
    with dripping(b"$1000000\r\n") as port:
        assert diagnose("broker", broker_url=f"redis://127.0.0.1:{port}/0").code == "IBT-B90"


def test_another_protocol(diagnose: Diagnose, postgresql_port: int) -> None:
    assert diagnose("broker", broker_url=f"redis://127.0.0.1:{postgresql_port}/0").code == "IBT-B09"
    with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert diagnose("broker", broker_url=f"redis://127.0.0.1:{port}/0").code == "IBT-B09"


def test_a_replica(diagnose: Diagnose, locked_port: int) -> None:
    with own_valkey("--replicaof", "127.0.0.1", str(locked_port)) as port:
        found = diagnose("broker", broker_url=f"redis://127.0.0.1:{port}/0")
        assert found.code == "IBT-B20"
        assert f"127.0.0.1:{locked_port}" in found.seen
        assert diagnose("backend", broker_url=f"redis://127.0.0.1:{port}/0").code == "IBT-R20"


def test_a_cluster_node(diagnose: Diagnose) -> None:
    with own_valkey("--cluster-enabled", "yes") as port:
        assert diagnose("broker", broker_url=f"redis://127.0.0.1:{port}/0").code == "IBT-B21"


def test_memory_and_eviction() -> None:
    with own_valkey("--maxmemory-policy", "allkeys-lru") as port:
        url = f"redis://127.0.0.1:{port}/0"
        with redis.Redis(port=port) as client:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.05))
        report = examine(load_settings({"broker_url": url}, environ={}), ["broker"])
    codes = {item.code: item for item in report.findings}
    assert codes.keys() == {"IBT-B23", "IBT-B24"}
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in codes["IBT-B23"].hint
    assert report.verdict is Verdict.GOOD


def test_full_memory(diagnose: Diagnose) -> None:
    with own_valkey("--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as port:
        found = diagnose("backend", broker_url=f"redis://127.0.0.1:{port}/0")
    assert found.code == "IBT-R25"


def test_dependants_of_a_dead_broker_are_skipped_not_failed(database_url: str) -> None:
    settings = load_settings(
        {"broker_url": f"redis://127.0.0.1:{dead_port()}/0", "database_url": database_url}, environ={}
    )
    report = examine(settings)
    severities = {item.check: item.severity for item in report.findings}
    assert severities["broker"] is Severity.FAILURE
    assert severities["database"] is Severity.OK
    assert {severities[name] for name in ("backend", "workers", "beat")} == {Severity.SKIPPED}
    assert report.verdict is Verdict.UNREACHABLE


def test_everything_swallowed_is_given_up() -> None:
    with blackhole() as hole, silence() as quiet, dripping(b"$1000000\r\n") as slow:
        settings = load_settings(
            {
                "broker_url": f"redis://127.0.0.1:{slow}/0",
                "result_backend": f"redis://127.0.0.1:{hole}/0",
                "database_url": f"postgresql://someone:{SECRET}@127.0.0.1:{quiet}/ibutsu",
                "flower_url": f"http://127.0.0.1:{quiet}",
            },
            environ={},
        )
        report = examine(settings)
    assert {item.check: item.code for item in report.findings if item.severity is Severity.FAILURE} == {
        "broker": "IBT-B90",
        "backend": "IBT-R02",
        "database": "IBT-D02",
        "flower": "IBT-F01",
    }
