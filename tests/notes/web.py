"""The application, as a factory and as an object that wraps it."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import NoReturn

from flask import Flask
from sqlalchemy import text

from tests.notes.models import db


def create_app() -> Flask:
    app = Flask("notes")
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SQLALCHEMY_DATABASE_URI"]
    app.config["AUTHOR"] = "somebody"
    db.init_app(app)
    with app.app_context():
        db.create_all()
        # The processes of a worker must not share its connection.
        backend = db.session.scalar(text("select pg_backend_pid()"))
    import tests.notes.foreign  # noqa: F401, PLC0415 - brings tasks that no package declares

    sys.stderr.write(f"the application was made on connection {backend}\n")
    return app


wrapped = SimpleNamespace(app=Flask("wrapped"))


def create_nothing() -> NoReturn:
    url = os.environ["SQLALCHEMY_DATABASE_URI"]
    raise RuntimeError(f"no connection to {url}")
