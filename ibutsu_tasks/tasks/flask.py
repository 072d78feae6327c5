"""Tasks inside a Flask application: its context, and the session of its Flask-SQLAlchemy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from celery import Task, signals

from ibutsu_tasks.database.engine import told_apart
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.packages import resolve
from ibutsu_tasks.tasks.base import DatabaseCelery, DatabaseTask
from ibutsu_tasks.tasks.outages import DATABASE, outages
from ibutsu_tasks.text.quoting import cut

try:
    from flask import Flask
except ImportError:
    raise ImportError("Flask is not installed: `pip install 'ibutsu-tasks[flask]'` brings it.") from None

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

MOST_CHARACTERS = 300


class FlaskCelery(DatabaseCelery):
    """An application whose tasks run inside the context of a Flask application.

    What a task leaves in Flask-SQLAlchemy's session is committed when it succeeds and rolled back when it
    raises; the session is removed either way.
    """

    def __init__(self, *args: Any, flask_app: Flask, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flask_app = flask_app

    @property
    def extension(self) -> Any:
        """Flask-SQLAlchemy, None without."""
        return self.flask_app.extensions.get("sqlalchemy")

    @contextmanager
    def around_task(self) -> Iterator[None]:
        """Run a task inside the application's context. Raises as `Resources.session` in place of drivers."""
        with self.flask_app.app_context():
            if self.extension is None:
                yield
                return
            with told_apart(self._database_url()):
                try:
                    yield
                    self.extension.session.commit()
                finally:
                    # Without a commit, this rolls back.
                    self.extension.session.remove()

    @contextmanager
    def flask_session(self) -> Iterator[Session]:
        """Run one transaction of Flask-SQLAlchemy's session, inside the application's context."""
        with told_apart(self._database_url()):
            session: Session = self.extension.session()
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise
        outages.end(DATABASE)

    def drop_after_fork(self) -> None:
        """Forget the connections of the process that this one was forked from."""
        super().drop_after_fork()
        if self.extension is not None:
            with self.flask_app.app_context():
                for engine in self.extension.engines.values():
                    engine.dispose(close=False)

    def _database_url(self) -> str:
        engines = self.extension.engines
        # An application may have none but those of its binds.
        engine: Engine = engines.get(None, next(iter(engines.values())))
        return engine.url.render_as_string(hide_password=False)


class IbutsuTask(DatabaseTask):
    """A DatabaseTask with Flask-SQLAlchemy's session, where there is one, for `session` and `transaction`."""

    abstract = True

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Run one transaction: commit on success, rollback on error. Raises as `Resources.session`."""
        app = self.app
        if isinstance(app, FlaskCelery) and app.extension is not None:
            with app.flask_session() as session:
                yield session
        else:
            with super().session() as session:
                yield session


@signals.task_prerun.connect(dispatch_uid="ibutsu-tasks-flask-prerun")
def _enter_application(task: Task[Any, Any], **_: Any) -> None:
    """Run a task with a base of its own inside the application, too, and all that its base does at the end.

    Outside, the base that an Ibutsu server has makes a new application, with connections, for each step.
    """
    app, request = task.app, cast("Any", task.request)
    if isinstance(app, FlaskCelery) and not isinstance(task, DatabaseTask):
        request.flask_context = app.flask_app.app_context()
        request.flask_context.push()


@signals.task_postrun.connect(dispatch_uid="ibutsu-tasks-flask-postrun")
def _leave_application(task: Task[Any, Any], **_: Any) -> None:
    if context := getattr(task.request, "flask_context", None):
        context.pop()


def load_flask_app(settings: Settings) -> Flask:
    """Give the Flask application that the settings name: it, what wraps it as `app`, or what makes one.

    Raises SettingsError when there is none.
    """
    place = f"IBUTSU_TASKS_FLASK_APP={settings.flask_app}"
    try:
        found = resolve(settings.flask_app or "")
        if _flask_app_in(found) is None and callable(found):
            found = found()
    except (Exception, SystemExit) as error:
        reason = cut(settings.mask(" ".join(str(error).split())), MOST_CHARACTERS)
        raise SettingsError(f"{place} cannot be used: {type(error).__name__}: {reason}") from error
    if (app := _flask_app_in(found)) is None:
        raise SettingsError(f"{place} gives no Flask application but {type(found).__name__}.")
    return app


def _flask_app_in(found: Any) -> Flask | None:
    """Connexion, for one, wraps an application."""
    return next((one for one in (found, getattr(found, "app", None)) if isinstance(one, Flask)), None)
