"""One scrape of the fleet: every service is asked at the same time, and what answers is on the page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.garbled import explain
from ibutsu_tasks.errors import IbutsuTasksError
from ibutsu_tasks.health import metrics
from ibutsu_tasks.health.questions import Answer
from ibutsu_tasks.metrics import page
from ibutsu_tasks.metrics.broker import BrokerReader
from ibutsu_tasks.metrics.database import DatabaseReader
from ibutsu_tasks.metrics.of_packages import Isolation
from ibutsu_tasks.metrics.prunes import of_prunes
from ibutsu_tasks.metrics.sources import Source
from ibutsu_tasks.packages import loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric
    from redis import Redis

    from ibutsu_tasks.resources import Resources

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 2.0
"""What each service is given; they are asked at the same time."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """What came of one scrape: the metrics, and of each service why it did not answer, or nothing."""

    metrics: tuple[Metric, ...]
    failures: Mapping[str, str]


def _is_the_broker_s(error: Exception) -> bool:
    return isinstance(error, RedisError | OSError) and not isinstance(error, ResponseError)


def _why(client: Redis, error: Exception) -> str:
    return explain(client, error) if isinstance(error, ResponseError) else repr(error)


class Fleet:
    """The services of a fleet; a database that no setting names is not asked."""

    def __init__(self, resources: Resources) -> None:
        self._missing: frozenset[str] = frozenset()
        self._settings = resources.settings
        self._url = self._settings.require_broker()
        client = build_client(self._url, LIMIT_SECONDS)
        broker = BrokerReader(client, self._settings.consumed_queues)
        isolation = Isolation(_is_the_broker_s, lambda error: self._settings.mask(_why(client, error)))

        def read_broker() -> Iterator[Metric]:
            yield from page.of_broker(broker.read())
            yield from self._of_prunes_and_packages(client, isolation)

        self._sources = [self._source("broker", read_broker)]
        if self._settings.database_uri:
            self._sources.append(self._source("database", DatabaseReader(resources).read))

    def scrape(self) -> Scrape:
        """Ask all services; this ends within `LIMIT_SECONDS`, whatever they do."""
        begun = [(source, source.begin()) for source in self._sources]
        found = {source.name: source.value(reading) for source, reading in begun}
        up = page.services({name: value is not None for name, value in found.items()})
        failures = {source.name: source.failure for source in self._sources if found[source.name] is None}
        return Scrape((up, *(one for value in found.values() for one in value or ())), failures)

    def text(self) -> str:
        """Give the page of a scrape; what does not answer any more, or again, is logged once."""
        scrape = self.scrape()
        for name in scrape.failures.keys() - self._missing:
            logger.warning("The numbers of the %s are missing: %s", name, scrape.failures[name])
        for name in self._missing - scrape.failures.keys():
            logger.warning("The numbers of the %s are back.", name)
        self._missing = frozenset(scrape.failures)
        return metrics.text(scrape.metrics)

    def is_live(self) -> Answer:
        """Answer that this process lives: who asks has its answer."""
        return Answer(True, "metrics is live.")

    def is_ready(self) -> Answer:
        """Say whether the broker answers."""
        failure = self.scrape().failures.get("broker")
        return Answer(not failure, f"metrics is not ready: {failure}" if failure else "metrics is ready.")

    def _of_prunes_and_packages(self, client: Redis, isolation: Isolation) -> Iterator[Metric]:
        packages = ((f"package {one.name}", read) for one, read in loaded().each("broker_metrics"))
        for name, metrics_of in (("prunes", of_prunes), *packages):
            yield from isolation.read(name, partial(metrics_of, client))

    def _source(self, name: str, read: Callable[[], Iterable[Metric]]) -> Source[tuple[Metric, ...]]:
        return Source(name, lambda: tuple(read()), self._explain, LIMIT_SECONDS)

    def _explain(self, error: Exception) -> str:
        if isinstance(error, RedisError | OSError):
            error = unreachable(error, self._url)
        said = str(error) if isinstance(error, IbutsuTasksError) else f"it ended with {type(error).__name__}"
        return self._settings.mask(said)
