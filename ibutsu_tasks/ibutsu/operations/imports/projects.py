"""Which project an import belongs to: as its upload, its file or a user at the command line names it."""

from __future__ import annotations

from difflib import get_close_matches
from shlex import quote
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import select

from ibutsu_tasks.errors import InvalidImportError, RefusedError
from ibutsu_tasks.ibutsu.database.models import Project
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.text.storable import storable_text

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
    """Give the project a file names, by name or id; None when it names none, or one that does not exist.

    Of several projects with the name, the one with the lowest id.
    """
    return _by_name_or_id(session, name_or_id) if name_or_id else None


def missing_project(name_or_id: str) -> str:
    """Say that a file names a project that does not exist, and what to do about it."""
    name = shown(name_or_id)
    return (
        f'The file names the project "{name}", which does not exist; it was imported without one. '
        f"`ibutsu-tasks import FILE --project {quote(name)} --create-project` makes it and imports it there."
    )


def choose_project(session: Session, name_or_id: str, *, create: bool = False) -> UUID:
    """Give the id of a project by name or id, making one of that name first when `create` asks for it.

    Of several projects with the name, the one with the lowest id. Raises RefusedError, with the names
    that come close, when there is none.
    """
    found = _by_name_or_id(session, name_or_id)
    if found is not None:
        return found
    if not create:
        raise RefusedError(f"There is no project {shown(name_or_id)}.", _hint(session, name_or_id))
    project = Project(id=uuid4(), name=name_or_id, title=name_or_id)
    session.add(project)
    session.flush()
    return project.id


def _by_name_or_id(session: Session, name_or_id: str) -> UUID | None:
    by_name = select(Project.id).where(Project.name == storable_text(name_or_id))
    return session.scalar(by_name.order_by(Project.id).limit(1)) or _by_id(session, name_or_id)


def _by_id(session: Session, text: str) -> UUID | None:
    try:
        identifier = UUID(text)
    except ValueError:
        return None
    return session.scalar(select(Project.id).where(Project.id == identifier))


def _hint(session: Session, name: str) -> str:
    names = [known for known in session.scalars(select(Project.name).distinct()) if known]
    near = get_close_matches(name, names, n=2)
    guess = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{guess}--create-project makes it."
