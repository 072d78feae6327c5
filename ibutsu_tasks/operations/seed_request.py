"""Who is to belong to which project: an administrator's words, read and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from ibutsu_tasks.database.models import Project
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.storable import UNSTORABLE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_EMAIL_CHARACTERS = 320
"""64 before the @ and 255 behind it (RFC 5321, 4.5.3.1)."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(slots=True)
class SeedRequest:
    """What was asked for, as far as it can be read: emails by project, names not found, what is invalid."""

    owners: dict[UUID, str] = field(default_factory=dict)
    members: dict[UUID, list[str]] = field(default_factory=dict)
    unknown_projects: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)

    @property
    def emails(self) -> list[str]:
        """Everybody named, once for each time."""
        return [*self.owners.values(), *(email for emails in self.members.values() for email in emails)]


def read_request(session: Session, projects: Any) -> SeedRequest:
    """Find the projects and read the emails of `{name or UUID: {"owner": email, "users": [email, ...]}}`.

    Raises RefusedError if `projects` is not a mapping.
    """
    if not isinstance(projects, dict):
        raise RefusedError(f"projects must map project names to people, not be {_shown(projects)}.")
    request = SeedRequest()
    for name, people in projects.items():
        project_ids = _find_projects(session, str(name))
        if not project_ids:
            request.unknown_projects.append(str(name))
        elif len(project_ids) > 1:
            request.invalid.append(f"{_shown(name)} names {len(project_ids)} projects: use the UUID.")
        elif not isinstance(people, dict):
            request.invalid.append(
                f"{_shown(name)} needs an object with owner and users, not {_shown(people)}."
            )
        else:
            _read_people(request, str(name), project_ids[0], people)
    return request


def _find_projects(session: Session, name: str) -> list[UUID]:
    if UNSTORABLE.search(name):
        return []
    try:
        matches = Project.id == UUID(name)
    except ValueError:
        matches = Project.name == name
    return list(session.scalars(select(Project.id).where(matches)))


def _read_people(request: SeedRequest, name: str, project_id: UUID, people: dict[str, Any]) -> None:
    owner, users = people.get("owner"), people.get("users")
    if owner and (email := _read_email(request, f"The owner of {_shown(name)}", owner)):
        request.owners[project_id] = email
    if not isinstance(users, list | None):
        request.invalid.append(f"The users of {_shown(name)} must be a list of emails, not {_shown(users)}.")
        return
    emails = (_read_email(request, f"A user of {_shown(name)}", each) for each in users or ())
    request.members.setdefault(project_id, []).extend(email for email in emails if email)


def _read_email(request: SeedRequest, who: str, value: Any) -> str | None:
    email = value.strip() if isinstance(value, str) else ""
    if len(email) <= MAX_EMAIL_CHARACTERS and _EMAIL.fullmatch(email) and not UNSTORABLE.search(email):
        return email
    request.invalid.append(f"{who} must be an email address, not {_shown(value)}.")
    return None


def _shown(value: Any) -> str:
    return repr(value)[:100]
