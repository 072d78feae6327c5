"""How the Celery applications import modules: from where Python looks, never from the working directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.loaders.app import AppLoader

if TYPE_CHECKING:
    from collections.abc import Callable


class Loader(AppLoader):
    """Celery's loader without its habits of preferring files that happen to lie around.

    Celery puts the working directory first on the path while it imports, so that a `packaging.py` or
    `sqlalchemy.py` there would be run in place of the library; and it runs the module that
    CELERY_CONFIG_MODULE names.
    """

    def import_from_cwd(
        self, module: str, imp: Callable[..., Any] | None = None, package: str | None = None
    ) -> Any:
        """Import `module` as any other import does."""
        return (imp or self.import_module)(module, package=package)

    def read_configuration(self, env: str = "") -> dict[str, Any]:  # noqa: ARG002 - the signature of Celery
        """Give nothing: the settings are the application's own."""
        return {}


FROM_THE_PATH: dict[str, Any] = {"loader": Loader, "fixups": ()}
"""What makes an application import so. Celery's one fixup is for Django: it puts the working directory on
the path for good."""
