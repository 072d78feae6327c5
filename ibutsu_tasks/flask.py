"""For Flask applications: their tasks inside their context, on Flask-SQLAlchemy's session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import WORKER_NAME, build_database_app
from ibutsu_tasks.settings import Settings, load_settings
from ibutsu_tasks.tasks.flask import FlaskCelery, IbutsuTask

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["FlaskCelery", "IbutsuTask", "create_flask_celery_app"]


def create_flask_celery_app(
    flask_app: Flask, name: str = WORKER_NAME, settings: Settings | None = None
) -> FlaskCelery:
    """Build the Celery application of a Flask application: with all tasks, each run inside its context.

    It becomes the default of the process, so that `.delay()` of shared tasks sends by it from every thread,
    and `flask_app.extensions["celery"]`. The settings are those of a worker (`load_settings()`). Raises
    SettingsError that names every missing variable of broker and database.
    """
    settings = settings or load_settings()
    settings.require_services()
    app = build_database_app(name, settings, flask_app)
    assert isinstance(app, FlaskCelery)  # noqa: S101 - for the type checker
    app.set_default()
    flask_app.extensions["celery"] = app
    return app
