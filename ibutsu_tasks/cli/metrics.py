"""What `metrics` does: one scrape on stdout, or a page that is scraped until a signal ends it."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.health import metrics
from ibutsu_tasks.health.pages import pages
from ibutsu_tasks.health.server import HealthServer
from ibutsu_tasks.logs import configure_role_logs
from ibutsu_tasks.metrics.fleet import Fleet
from ibutsu_tasks.resources import Resources

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.settings import Settings

ROLE = "metrics"


def show(state: CliState) -> Result:
    """Scrape once. Raises SettingsError when no broker is named."""
    with closing(Resources(state.settings, ROLE)) as resources:
        scrape = Fleet(resources).scrape()
    lines = [plain(line) for line in metrics.text(scrape.metrics).splitlines()]
    messages = [
        f"[bold red]Error:[/] The numbers of the {name} are missing: {plain(reason)}"
        for name, reason in scrape.failures.items()
    ]
    data = {"metrics": [_as_json(one) for one in scrape.metrics], "failures": dict(scrape.failures)}
    return Result(data, lines, messages, ExitCode.UNREACHABLE if messages else ExitCode.DONE)


def serve(settings: Settings, port: int) -> int:
    """Serve the page until SIGTERM or Ctrl-C; give the exit code.

    Raises SettingsError when no broker is named or the port cannot be opened.
    """
    configure_role_logs(settings, ROLE)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with closing(Resources(settings, ROLE)) as resources:
        fleet = Fleet(resources)
        answers = {"/livez": fleet.is_live, "/readyz": fleet.is_ready}
        HealthServer(settings.health_address, port, pages(answers, fleet.text), flag="--port").start()
        stopped.wait()
    return ExitCode.DONE


def _as_json(metric: Metric) -> dict[str, Any]:
    samples = [{"name": one.name, "labels": one.labels, "value": float(one.value)} for one in metric.samples]
    return {"name": metric.name, "type": metric.type, "meaning": metric.documentation, "samples": samples}
