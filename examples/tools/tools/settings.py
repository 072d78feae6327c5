"""What can be set, each by its variable: `ibutsu-tasks config` shows them beside all others."""

from __future__ import annotations

from pathlib import Path

from ibutsu_tasks.packages import Setting
from ibutsu_tasks.settings.values import MAX_PORT, UnusableError, directory, seconds, whole_number

SHORTEST_TOKEN = 16


def token(value: str) -> str:
    """Parse what a header can carry and nobody guesses; nothing of it is quoted."""
    if len(value) < SHORTEST_TOKEN or not (value.isascii() and value.isprintable()) or " " in value:
        raise UnusableError(f"must be {SHORTEST_TOKEN} or more characters of ASCII, without spaces")
    return value


TOOLS_FILE = Setting(
    "tools_file", ("TOOLS_FILE",), "TOML file of tools beside those in the code.", parse=directory
)
OUTPUT_DIR = Setting(
    "tools_output_dir",
    ("TOOLS_OUTPUT_DIR",),
    "Where each job has a directory of its files.",
    Path("output"),
    parse=directory,
)
RETRY_SECONDS = Setting(
    "tools_retry_seconds",
    ("TOOLS_RETRY_SECONDS",),
    "After what a tool that failed is tried again.",
    60.0,
    parse=seconds,
    unit="s",
)
STUCK_SECONDS = Setting(
    "tools_stuck_seconds",
    ("TOOLS_STUCK_SECONDS",),
    "A job that is not seen for so long, and whose message is nowhere, is sent again.",
    600.0,
    parse=seconds,
    unit="s",
)
API_TOKEN = Setting(
    "tools_api_token", ("TOOLS_API_TOKEN",), "What callers of the API know.", parse=token, secret=True
)
API_ADDRESS = Setting("tools_api_address", ("TOOLS_API_ADDRESS",), "Where the API listens.", "127.0.0.1")
API_PORT = Setting(
    "tools_api_port",
    ("TOOLS_API_PORT",),
    "Port of the API.",
    8080,
    parse=whole_number(1, MAX_PORT),
    is_port=True,
)

SETTINGS = (TOOLS_FILE, OUTPUT_DIR, RETRY_SECONDS, STUCK_SECONDS, API_TOKEN, API_ADDRESS, API_PORT)
