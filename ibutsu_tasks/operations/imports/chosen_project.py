"""The project a user names on the command line."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import select

from ibutsu_tasks.database.models import Project
from ibutsu_tasks.errors import RefusedError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def choose_project(session: Session, name_or_id: str, *, create: bool = False) -> UUID:
    """Give the id of a project by name or id, making one of that name first when `create` asks for it.

    Of several projects with the name, the one with the lowest id. Raises RefusedError, with the names
    that come close, when there is none.
    """
    by_name = select(Project.id).where(Project.name == name_or_id).order_by(Project.id).limit(1)
    found = session.scalar(by_name) or _find_by_id(session, name_or_id)
    if found is not None:
        return found
    if not create:
        raise RefusedError(f"There is no project {name_or_id}.", _hint(session, name_or_id))
    project = Project(id=uuid4(), name=name_or_id, title=name_or_id)
    session.add(project)
    session.flush()
    return project.id


def _find_by_id(session: Session, text: str) -> UUID | None:
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
