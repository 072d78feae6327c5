"""A Celery application with nothing but a task that does nothing, in the settings of ours.

The settings come as JSON, so that nothing of this package is imported; SQLAlchemy is, as by any worker with
a database.
"""

from __future__ import annotations

import json
import os

import celery
import sqlalchemy.orm  # noqa: F401

CONF_VARIABLE = "BARE_APP_CONF"

app = celery.Celery("bare")
app.conf.update(json.loads(os.environ.get(CONF_VARIABLE, "{}")))


@app.task(name="ibutsu_server.tasks.runs.update_run")
def update_run(run_id: str) -> None:
    """Do nothing with a run."""
