"""Which project an import belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from ibutsu_tasks.database.models import Project
from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.storable import storable_text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def project_of_upload(session: Session, project_id: object) -> UUID | None:
    """Give the project an upload names by its id; None when it names none.

    Raises InvalidImportError when there is no such project.
    """
    if not project_id:
        return None
    found = _by_id(session, str(project_id))
    if found is None:
        raise InvalidImportError(
            f"The upload names the project {shown(str(project_id))}, which does not exist (any more); "
            "upload the file again to a project that does."
        )
    return found


def project_of_file(session: Session, name_or_id: str | None) -> UUID | None:
    """Give the project a file names, by name or id; None when it names none.

    Of several projects with the name, the one with the lowest id. Raises InvalidImportError when there
    is none.
    """
    if not name_or_id:
        return None
    by_name = (
        select(Project.id).where(Project.name == storable_text(name_or_id)).order_by(Project.id).limit(1)
    )
    found = session.scalar(by_name) or _by_id(session, name_or_id)
    if found is None:
        raise InvalidImportError(
            f'The file names the project "{shown(name_or_id)}", which does not exist; '
            "create it, or upload the file to a project of your choice."
        )
    return found


def _by_id(session: Session, text: str) -> UUID | None:
    try:
        identifier = UUID(text)
    except ValueError:
        return None
    return session.scalar(select(Project.id).where(Project.id == identifier))
