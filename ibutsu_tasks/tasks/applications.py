"""The application of tasks: inside a Flask application where there is one, which is loaded for that alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.tasks.base import DatabaseCelery, DatabaseTask

if TYPE_CHECKING:
    from flask import Flask

    from ibutsu_tasks.resources import Resources


def build_application(
    name: str, flask_app: Flask | None = None, *, resources: Resources, **options: Any
) -> DatabaseCelery:
    """Build one; its tasks run inside `flask_app`, or the application that the settings name.

    Raises SettingsError when that one cannot be used.
    """
    settings = resources.settings
    if flask_app is None and settings.flask_app is None:
        return DatabaseCelery(name, task_cls=DatabaseTask, resources=resources, **options)
    try:
        from ibutsu_tasks.tasks.flask import FlaskCelery, IbutsuTask, load_flask_app
    except ImportError as error:
        raise SettingsError(str(error)) from None
    # First, for it may make a Celery application of its own and have it be the current one.
    flask_app = flask_app or load_flask_app(settings)
    return FlaskCelery(name, flask_app=flask_app, task_cls=IbutsuTask, resources=resources, **options)
