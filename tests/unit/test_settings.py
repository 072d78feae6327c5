from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from ibutsu_tasks import stack_record
from ibutsu_tasks.errors import LocalServersError, SettingsError, UsageError
from ibutsu_tasks.settings import Settings, load_settings, read_settings, setting_rows

BROKER = "redis://broker.example:6379/0"
DATABASE = "postgresql://ibutsu:secret@db.example/ibutsu"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(options: dict[str, str] | None = None, **environ: str) -> Settings:
    return load_settings(options, environ={"HOME": "/home/someone"} | environ)


def test_an_option_wins_over_the_environment_and_that_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "CELERY_WORKER_CONCURRENCY=2\nCELERY_WORKER_LOGLEVEL=debug\nFLOWER_PORT=1\n"
    )
    settings = load(
        {"worker_concurrency": "4"}, CELERY_WORKER_CONCURRENCY="3", CELERY_WORKER_LOGLEVEL="error"
    )
    assert (settings.worker_concurrency, settings.log_level, settings.flower_port) == (4, "error", 1)
    assert settings.source("worker_concurrency") == "option --concurrency"
    assert settings.source("log_level") == "environment CELERY_WORKER_LOGLEVEL"
    assert settings.source("flower_port") == ".env FLOWER_PORT"
    assert settings.source("query_max_rows") == "default"


def test_a_dollar_in_the_env_file_is_a_dollar(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRESQL_PASSWORD='a${HOME}b$c'\n")
    assert load().postgresql_password == "a${HOME}b$c"


def test_a_secret_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    settings = load(POSTGRESQL_PASSWORD_FILE=str(tmp_path / "secret"))
    assert settings.postgresql_password == "s3cret"


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(
            CELERY_BROKER_URL="amqp://guest@host",
            CELERY_WORKER_CONCURRENCY="many",
            SQLALCHEMY_DATABASE_URI="sqlite:///x.db",
            CELERY_TASK_TIME_LIMIT="-1",
            FLOWER_BASIC_AUTH="nopassword",
            POSTGRESQL_PASSWORD_FILE=str(tmp_path / "absent"),
        )
    message = str(caught.value)
    for expected in ("amqp://", "CONCURRENCY", "sqlite://", "TIME_LIMIT", "FLOWER_BASIC_AUTH", "absent"):
        assert expected in message
    assert message.count("\n  - ") == 6


def test_a_wrong_option_is_wrong_usage_and_named_as_it_was_given() -> None:
    with pytest.raises(UsageError, match=r"--concurrency must be at least 1, not '0'"):
        load({"worker_concurrency": "0"}, FLOWER_PORT="x")


def test_a_problem_with_a_secret_does_not_tell_it() -> None:
    with pytest.raises(SettingsError) as caught:
        load(FLOWER_BASIC_AUTH="hunter2", CELERY_BROKER_URL="hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POSTGRESQL_HOST", "u:hidden@h"),
        ("POSTGRESQL_PORT", "redis://u:hidden@h"),
        ("IBUTSU_TASKS_ROUTES", "x=redis://:hidden@h"),
        ("CELERY_WORKER_HOSTNAME", "redis://:hidden@h"),
        ("CELERY_WORKER_QUEUES", "redis://:hidden@h"),
    ],
)
def test_a_password_in_a_setting_that_is_for_none_is_not_shown(variable: str, value: str) -> None:
    settings = read_settings({}, environ={variable: value})
    shown = [settings.shown(name) for name in setting_rows() if name not in settings.problems]
    assert "hidden" not in str((shown, settings.problems))


def test_missing_services_are_named_together() -> None:
    with pytest.raises(SettingsError, match=r"CELERY_BROKER_URL and POSTGRESQL_HOST .*are not set") as caught:
        load().require_services()
    assert "ibutsu-tasks up" in caught.value.hint


@pytest.mark.parametrize("prefix", ["POSTGRESQL", "POSTGRES"])
def test_the_database_url_is_put_together_from_its_parts(prefix: str) -> None:
    settings = load(
        **{
            f"{prefix}_HOST": "db.example",
            f"{prefix}_PORT": "5433",
            f"{prefix}_USER": "us:er",
            f"{prefix}_PASSWORD": "p@ss/w#r%d",
            f"{prefix}_DB": "ibutsu",
            f"{prefix}_SSLMODE": "require",
        }
    )
    url = make_url(settings.require_database())
    assert (url.host, url.port, url.username, url.password) == ("db.example", 5433, "us:er", "p@ss/w#r%d")
    assert (url.database, url.query["sslmode"]) == ("ibutsu", "require")


def test_a_socket_directory_can_be_the_host() -> None:
    url = make_url(load(POSTGRESQL_HOST="/run/my sql", POSTGRESQL_DATABASE="ibutsu").require_database())
    assert url.query["host"] == "/run/my sql"
    assert not url.host


def test_the_result_backend_is_the_broker_unless_set() -> None:
    assert load(CELERY_BROKER_URL=BROKER).backend_url == BROKER
    assert (
        load(CELERY_BROKER_URL=BROKER, CELERY_RESULT_BACKEND_URL="redis://other/1").backend_url
        == "redis://other/1"
    )


PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"'), min_size=1
).filter(lambda text: "%" not in text)


@given(PASSWORDS)
def test_a_raw_password_in_a_url_survives(password: str) -> None:
    settings = load(
        CELERY_BROKER_URL=f"redis://:{password}@host:6379/0",
        SQLALCHEMY_DATABASE_URI=f"postgresql://u:{password}@host/db",
    )
    parts = urlsplit(settings.require_broker())
    assert (unquote(parts.password or ""), parts.hostname, parts.port, parts.path) == (
        password,
        "host",
        6379,
        "/0",
    )
    url = make_url(settings.require_database())
    assert (url.password, url.host, url.database) == (password, "host", "db")


def test_an_encoded_password_and_a_query_with_an_at_stay_as_they_are() -> None:
    given_url = "redis://:p%40ss@host:6379/0?client_name=a@b"
    assert load(CELERY_BROKER_URL=given_url).broker_url == given_url


@given(PASSWORDS.filter(lambda text: not set(text) & set("'/@")).map(lambda text: f"Zq{text}"))
def test_no_password_is_shown(password: str) -> None:
    settings = load(
        CELERY_BROKER_URL=f"redis://user:{password}@h:1/0",
        POSTGRESQL_PASSWORD=password,
        FLOWER_BASIC_AUTH="op:hidden",
    )
    shown = [settings.shown(name) for name in ("broker_url", "postgresql_password", "flower_basic_auth")]
    assert shown[0].startswith("redis://user:***@")
    assert shown[1:] == ["***", "op:***"]
    assert password not in repr(settings)


def test_a_password_among_the_options_of_a_url_is_masked() -> None:
    settings = load(
        SQLALCHEMY_DATABASE_URI="postgresql://u@h/d?sslmode=require&password=S3cr3t&sslpassword=S3cr3t",
        IBUTSU_TASKS_FLOWER_URL="http://me:S3cr3t@h:1",
    )
    shown = settings.shown("database_url") + settings.shown("flower_url")
    assert "S3cr3t" not in shown
    assert "sslmode=require&password=***&sslpassword=***" in shown


def test_a_running_stack_is_found_and_explicit_variables_win(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    record = stack_record.StackRecord(1, "redis+socket:///x.sock", DATABASE, "http://127.0.0.1:5555", "op:pw")
    stack_record.write_record(data_dir, record)
    environ = {"IBUTSU_TASKS_DATA_DIR": str(data_dir)}
    assert load(**environ).broker_url is None, "a record without a living stack is a leftover"
    with stack_record.hold_stack_lock(data_dir):
        stack_record.write_record(data_dir, record)
        found = load(**environ)
        assert (found.broker_url, found.database_uri) == (
            record.broker_url,
            load(SQLALCHEMY_DATABASE_URI=DATABASE).database_uri,
        )
        assert found.source("broker_url") == "local stack"
        explicit = load(**environ, CELERY_BROKER_URL=BROKER)
        assert (explicit.broker_url, explicit.database_uri) == (BROKER, None), "never half of each"
        with pytest.raises(SettingsError, match="is not used because CELERY_BROKER_URL is set"):
            explicit.require_services()
        with pytest.raises(LocalServersError, match="already runs"), stack_record.hold_stack_lock(data_dir):
            pass
    assert load(**environ).broker_url is None


def test_a_stack_that_others_could_have_put_there_is_not_trusted(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    environ = {"IBUTSU_TASKS_DATA_DIR": str(data_dir)}
    with stack_record.hold_stack_lock(data_dir):
        stack_record.write_record(data_dir, stack_record.StackRecord(1, BROKER, DATABASE))
        assert load(**environ).broker_url == BROKER
        for path in (data_dir, data_dir / "stack.json", data_dir / "stack.lock"):
            mode = path.stat().st_mode
            path.chmod(mode | 0o002)
            found = load(**environ)
            assert found.broker_url is None
            with pytest.raises(SettingsError, match=f"not trusted: {path} may be written by others"):
                found.require_broker()
            path.chmod(mode)
        (data_dir / "stack.json").rename(data_dir / "elsewhere")
        (data_dir / "stack.json").symlink_to("elsewhere")
        assert load(**environ).broker_url is None


def test_the_default_data_directory_follows_the_xdg_rules() -> None:
    assert load().data_dir == Path("/home/someone/.local/share/ibutsu-tasks")
    assert load(XDG_DATA_HOME="/data").data_dir == Path("/data/ibutsu-tasks")


def test_every_setting_has_a_variable_and_a_help_text() -> None:
    assert all(row.variables and row.help.endswith(".") for row in setting_rows().values())
    variables = [variable for row in setting_rows().values() for variable in row.variables]
    assert len(variables) == len(set(variables))
