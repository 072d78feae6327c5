"""The image, built once, and the embedded servers by TCP: its users may not enter the tests' directories."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from tests.commands import services
from tests.doors import dead_port, forwarding
from tests.image.building import Store, skip_where_impossible
from tests.image.containers import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Show a figure among the names of the tests."""
    writer = pytestconfig.get_terminal_writer()
    capturing = pytestconfig.pluginmanager.getplugin("capturemanager")

    def show(sentence: str) -> None:
        with capturing.global_and_fixture_disabled():
            writer.line(f"\nimage: {sentence}")

    return show


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """Where images lie, and the base of ours."""
    skip_where_impossible()
    store = Store(Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-")))
    try:
        store.make_base()
        yield store
    finally:
        store.remove()


@pytest.fixture(scope="session")
def image(store: Store, say: Callable[[str], None]) -> Image:
    seconds = store.build()
    image = Image(store.mount(), store.describe(), store.directory)
    sizes = [layer["size"] for layer in image.layers]
    say(f"built in {seconds:.0f} s; {sum(sizes) / 1e6:.0f} MB, of which {sizes[-1] / 1e6:.0f} MB on the base")
    return image


@pytest.fixture
def env(broker_url: str, database_url: str) -> Iterator[dict[str, str]]:
    url = make_url(database_url)
    with (
        forwarding(Path(urlsplit(broker_url).path)) as redis_port,
        forwarding(Path(str(url.query["host"])) / ".s.PGSQL.5432") as port,
    ):
        by_tcp = url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        yield services(f"redis://127.0.0.1:{redis_port}/0", by_tcp) | {
            # The network is this machine's, where the image's own port may be taken.
            "IBUTSU_TASKS_HEALTH_PORT": str(dead_port()),
            "IBUTSU_TASKS_HEALTH_ADDRESS": "127.0.0.1",
        }
