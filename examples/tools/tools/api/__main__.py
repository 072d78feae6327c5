"""Serves the API, where TOOLS_API_ADDRESS and TOOLS_API_PORT say."""

from __future__ import annotations

import sys

import uvicorn

from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings import load_settings
from tools.api.app import create_app
from tools.settings import API_ADDRESS, API_PORT

SETTINGS_EXIT_CODE = 3

CLOSING_SECONDS = 5
"""What streams of updates are given to end, which would go on for ever."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    try:
        settings = load_settings()
        app = create_app(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n{error.hint}\n")
        sys.exit(SETTINGS_EXIT_CODE)
    address, port = settings.value(API_ADDRESS), settings.value(API_PORT)
    uvicorn.run(app, host=address, port=port, timeout_graceful_shutdown=CLOSING_SECONDS)


if __name__ == "__main__":
    main()
