"""Which source a setting is taken from, and what is never read, obeyed or shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks import stack_record
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings import Settings, load_settings, read_settings, setting_rows
from ibutsu_tasks.settings.sources import MAX_REMARKS

if TYPE_CHECKING:
    from collections.abc import Callable

LINKS = ["tcp://10.0.0.1:5432", "TCP://[fd00::1]:5432", "udp://10.0.0.1:53"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**environ: str) -> Settings:
    return load_settings(environ={"HOME": "/home/someone"} | environ)


def write_env(text: str) -> None:
    Path(".env").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("link", LINKS)
def test_what_kubernetes_puts_into_every_pod_is_ignored(link: str) -> None:
    settings = load(POSTGRES_PORT=link, POSTGRESQL_PORT=link, FLOWER_PORT=link, IBUTSU_TASKS_PORT=link)
    assert (settings.postgresql_port, settings.flower_port) == (5432, 5555)
    assert not settings.remarks
    assert settings.source("postgresql_port") == "default"
    assert load(POSTGRESQL_PORT=link, POSTGRES_PORT="5433").postgresql_port == 5433


def test_a_link_of_kubernetes_does_not_outvote_the_env_file() -> None:
    write_env("POSTGRESQL_HOST=h\nPOSTGRESQL_DATABASE=n\nPOSTGRESQL_PORT=5433\n")
    assert load(POSTGRES_PORT=LINKS[0]).require_database() == "postgresql+psycopg2://h:5433/n"


@pytest.mark.parametrize("name", ["IBUTSU_TASKS_SERVICE_HOST", "IBUTSU_TASKS_SERVICE_PORT_HTTP"])
def test_variables_of_a_service_of_our_name_are_not_misspelled(name: str) -> None:
    assert not load(**{name: "80", "IBUTSU_TASKS_PORT_80_TCP_ADDR": "10.0.0.1"}).remarks


def test_a_misspelled_variable_is_remarked_on_wherever_it_stands() -> None:
    write_env("IBUTSU_TASKS_LOGFORMAT=json\n")
    first, second = load(IBUTSU_TASKS_DATA_DIR_FLE="x").remarks
    assert first.startswith("IBUTSU_TASKS_DATA_DIR_FLE in the environment has no effect")
    assert first.endswith("did you mean IBUTSU_TASKS_DATA_DIR_FILE?")
    assert second.startswith("IBUTSU_TASKS_LOGFORMAT in .env has no effect")
    assert second.endswith("did you mean IBUTSU_TASKS_LOG_FORMAT?")


@pytest.mark.parametrize(
    "planted",
    ["SQLALCHEMY_DATABASE_URI=postgresql://evil/d", "POSTGRESQL_HOST=evil", "POSTGRESQL_PORT=1"],
)
@pytest.mark.parametrize(
    "own",
    [
        {"POSTGRESQL_HOST": "good", "POSTGRESQL_DATABASE": "n", "POSTGRES_PASSWORD": "pw"},
        {"SQLALCHEMY_DATABASE_URI": "postgresql://good/n"},
        {"POSTGRESQL_PASSWORD": "pw"},
    ],
)
def test_an_env_file_neither_outvotes_the_environment_nor_gets_its_password(
    planted: str, own: dict[str, str]
) -> None:
    write_env(planted)
    settings = load(**own)
    assert "evil" not in (settings.database_uri or "")
    assert settings.database_uri == load(**own).database_uri
    assert settings.postgresql_port == 5432
    [remark] = settings.remarks
    assert remark.startswith(f"{planted.partition('=')[0]} in .env left aside")


def test_a_database_url_given_as_option_stands_alone() -> None:
    settings = load_settings(
        {"database_url": "postgresql://h/n"}, environ={"POSTGRESQL_HOST": "other", "HOME": "/x"}
    )
    assert settings.database_uri == "postgresql+psycopg2://h/n"
    assert settings.postgresql_host is None
    assert not settings.remarks


def test_the_password_of_flower_goes_to_no_other_page() -> None:
    write_env("IBUTSU_TASKS_FLOWER_URL=http://evil\n")
    assert load(FLOWER_BASIC_AUTH="me:pw").flower_url is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "1", "[" * 100_000, '{"pid": 1}', '{"pid": "1", "broker_url": "a", "database_url": "b"}'),
        '{"pid": 1, "broker_url": [], "database_url": {}}',
        '{"pid": 1, "broker_url": "redis://h", "database_url": "postgresql://h/n", "more": 1}',
        '{"pid": 1, "broker_url": "redis://h", "database_url": "postgresql://h/n"}' + " " * 2_000_000 + "x",
    ],
    ids=lambda text: text[:20],
)
def test_a_garbled_record_of_a_stack_is_none(tmp_path: Path, text: str) -> None:
    with stack_record.hold_stack_lock(tmp_path):
        stack_record.write_own(tmp_path / "stack.json", text)
        settings = load(IBUTSU_TASKS_DATA_DIR=str(tmp_path))
        assert settings.broker_url is None or text.endswith("x")


@pytest.mark.parametrize("url", ["", "x", "amqp://h", "redis://h:0", "redis://h/\x1b"])
def test_what_a_record_of_a_stack_says_is_checked(tmp_path: Path, url: str) -> None:
    record = stack_record.StackRecord(1, url, "postgresql://h/n")
    with stack_record.hold_stack_lock(tmp_path):
        stack_record.write_record(tmp_path, record)
        with pytest.raises(SettingsError, match="local stack"):
            load(IBUTSU_TASKS_DATA_DIR=str(tmp_path))


def test_a_local_stack_is_found_beside_a_setting_of_a_package(tmp_path: Path) -> None:
    record = stack_record.StackRecord(1, "redis+socket:///x.sock", "postgresql://h/n")
    with stack_record.hold_stack_lock(tmp_path):
        stack_record.write_record(tmp_path, record)
        environ = {"IBUTSU_TASKS_DATA_DIR": str(tmp_path), "IBUTSU_TASKS_QUERY_MAX_ROWS": "7"}
        settings = load_settings(environ=environ)
    assert (settings.broker_url, settings.of_packages["query_max_rows"]) == ("redis+socket:///x.sock", 7)


def test_a_local_stack_does_not_mix_with_a_password_of_flower(tmp_path: Path) -> None:
    record = stack_record.StackRecord(1, "redis+socket:///x.sock", "postgresql://h/n", "http://l:1", "op:pw")
    with stack_record.hold_stack_lock(tmp_path):
        stack_record.write_record(tmp_path, record)
        settings = load(IBUTSU_TASKS_DATA_DIR=str(tmp_path), FLOWER_BASIC_AUTH="me:own")
    assert settings.broker_url == record.broker_url
    assert (settings.flower_basic_auth, settings.flower_url) == ("me:own", None)


@pytest.mark.parametrize("name", ["POSTGRESQL_PASSWORD_FILE", "FLOWER_PORT_FILE"])
def test_a_fifo_is_never_waited_for(tmp_path: Path, name: str) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SettingsError, match="it is not a regular file"):
        load(**{name: str(fifo)})
    with pytest.raises(SettingsError, match="it is not a regular file"):
        load_settings(environ={}, env_file=fifo)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/nowhere")], ids=["fifo", "dir", "link"]
)
def test_what_is_called_env_and_is_no_file_is_remarked_on(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / ".env")
    settings = load(FLOWER_PORT="1234")
    assert settings.flower_port == 1234
    assert settings.remarks == ("No settings are read from .env, which is no file.",)


def test_a_virtual_environment_called_env_is_no_settings_file(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (tmp_path / ".env" / "pyvenv.cfg").touch()
    assert load().remarks == ()


LONG_VALUES = (
    "x" * 120_000,
    "demo:results=" + "9" * 120_000,
    "demo:nope=1d" * 10_000,
    "redis://" + "h" * 120_000,
)


@pytest.mark.parametrize("value", LONG_VALUES, ids=lambda value: value[:12])
def test_however_long_a_setting_is_what_is_said_of_it_is_short(value: str) -> None:
    names = [variable for row in setting_rows().values() for variable in row.variables]
    for name in (*names, *(f"{name}_FILE" for name in names), f"IBUTSU_TASKS_{value}"):
        settings = read_settings(environ={"HOME": "/home/someone", name: value})
        assert all(len(said) < 500 for said in (*settings.problems.values(), *settings.remarks))


@pytest.mark.parametrize(
    "name",
    [
        *("FLOWER_PORT", "CELERY_WORKER_CONCURRENCY", "CELERY_TASK_TIME_LIMIT", "CELERY_WORKER_LOGLEVEL"),
        *("FLOWER_BASIC_AUTH", "IBUTSU_TASKS_RETENTION", "IBUTSU_TASKS_FLOWER_URL", "POSTGRESQL_SSLMODE"),
    ],
)
@pytest.mark.parametrize("content", ["root:Hidden:19000,0:::\n", "Hidden", "Hidden:\nHidden,\n"])
def test_nothing_of_a_wrong_file_is_shown(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "shadow").write_text(content)
    with pytest.raises(SettingsError) as caught:
        load(**{f"{name}_FILE": str(tmp_path / "shadow")})
    assert "Hidden" not in str(caught.value)
    assert f"{name}_FILE" in str(caught.value)


@pytest.mark.parametrize("url", ["Hidden", "hidden://x", "redis://h/0?Hidden=1", "redis://h:Hidden/0"])
@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "SQLALCHEMY_DATABASE_URI"])
def test_nothing_of_a_wrong_file_is_shown_of_urls_either(tmp_path: Path, name: str, url: str) -> None:
    (tmp_path / "shadow").write_text(url)
    with pytest.raises(SettingsError) as caught:
        load(**{f"{name}_FILE": str(tmp_path / "shadow")})
    assert "hidden" not in str(caught.value).lower()


def test_a_file_that_is_no_secret_is_refused_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * 100_000)
    with pytest.raises(SettingsError, match="larger than 65536 bytes"):
        load(POSTGRESQL_PASSWORD_FILE=str(tmp_path / "large"))


def test_the_file_of_settings_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "prod.env"
    path.write_text("\ufeffFLOWER_PORT=1234\n")
    settings = load_settings(environ={}, env_file=path)
    assert (settings.flower_port, settings.source("flower_port")) == (1234, f"{path} FLOWER_PORT")
    path.write_text("FLOWER_PORT=none\n")
    assert read_settings(environ={}, env_file=path).problems == {
        "flower_port": f"{path} FLOWER_PORT must be a whole number, not 'none'."
    }


def test_a_line_that_is_none_is_named_and_the_others_hold(capfd: pytest.CaptureFixture[str]) -> None:
    write_env("FLOWER_PORT=1234\n'a b=\nCELERY_WORKER_CONCURRENCY=3\n")
    settings = load()
    assert (settings.flower_port, settings.worker_concurrency) == (1234, 3)
    assert settings.remarks == ("Line 2 of .env is left out: it is not NAME=value.",)
    assert capfd.readouterr().err == ""


def test_of_many_lines_and_names_that_are_none_the_first_are_named() -> None:
    write_env("".join(f"=\nIBUTSU_TASKS_A{number}=1\n" for number in range(1000)))
    remarks = load().remarks
    assert len(remarks) == 2 * (MAX_REMARKS + 1)
    assert "980 more lines of .env are left out." in remarks
    assert "980 more such names in .env have no effect." in remarks


def test_blanks_that_would_be_read_for_minutes_are_refused() -> None:
    write_env(f"FLOWER_PORT=1234\nA=x{' ' * 1000}y\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read: line 2 has 200 blanks in a row"):
        load()


def test_a_home_that_does_not_exist_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="begins with the home of a user who does not exist"):
        load(IBUTSU_TASKS_DATA_DIR="~no-such-user/x")


@pytest.mark.parametrize("name", ["IBUTSU_TASKS_DATA_DIR", "POSTGRESQL_USER", "CELERY_WORKER_QUEUES"])
def test_a_nul_is_refused_in_every_setting_wherever_it_stands(tmp_path: Path, name: str) -> None:
    write_env(f'{name}="a\0b"\n')
    with pytest.raises(SettingsError, match=rf"{name} holds a NUL character\."):
        load()
    write_env("")
    (tmp_path / "utf-16").write_bytes("secret".encode("utf-16-le"))
    with pytest.raises(SettingsError, match=rf"{name}_FILE holds a NUL character\."):
        load(**{f"{name}_FILE": str(tmp_path / "utf-16")})


@pytest.mark.parametrize("name", ["CELERY_WORKER_QUEUES", "CELERY_WORKER_HOSTNAME", "POSTGRESQL_PASSWORD"])
def test_bytes_that_are_no_text_are_refused_in_every_setting(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name} is no UTF-8 text\."):
        load(**{name: os.fsdecode(b"a\xff")})


def test_a_relative_path_in_a_directory_that_is_gone_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match="must be absolute where the current directory was removed"):
        load(IBUTSU_TASKS_DATA_DIR="data")
