"""Users for projects: created where missing, made owners and members."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import Membership, Project, User
from ibutsu_tasks.text.storable import UNSTORABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

SEED_LOCK_KEY = 0x1B07_5EED
"""Advisory lock: no index keeps out emails that differ in case only, so seedings wait for one another."""

MAX_EMAIL_CHARACTERS = 320
"""64 before the @ and 255 behind it (RFC 5321, 4.5.3.1)."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """What a seeding changed: emails of new users, counts, names not found, a sentence per invalid part."""

    created_users: list[str] = field(default_factory=list)
    owners_set: int = 0
    memberships_added: int = 0
    unknown_projects: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)


def seed_users(session: Session, projects: dict[str, dict[str, Any]]) -> SeedSummary:
    """Create missing users, set owners, add memberships; `projects` maps a name or UUID to its people.

    People are `{"owner": email, "users": [email, ...]}`, both optional; an owner is a member only if
    listed. Emails are kept as given and compared without regard to case. Unknown projects and invalid
    parts are reported, the rest proceeds; a second time changes nothing. Holds a lock until the
    transaction ends. Raises RefusedError if `projects` is not a mapping.
    """
    limit_lock_wait(session)
    session.execute(select(func.pg_advisory_xact_lock(SEED_LOCK_KEY)))
    request = _read_request(session, projects)
    emails = [*request.owners.values(), *chain.from_iterable(request.members.values())]
    created = _create_missing_users(session, emails)
    users = _find_users(session, emails)
    owners_set = sum(_set_owner(session, project, users[email]) for project, email in request.owners.items())
    pairs = {(users[email], project) for project, members in request.members.items() for email in members}
    added = _add_memberships(session, pairs)
    return SeedSummary(created, owners_set, added, request.unknown_projects, request.invalid)


@dataclass(slots=True)
class _SeedRequest:
    """What was asked for, as far as it can be read: emails by project, names not found, what is invalid."""

    owners: dict[UUID, str] = field(default_factory=dict)
    members: dict[UUID, list[str]] = field(default_factory=dict)
    unknown_projects: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)


def _read_request(session: Session, projects: Any) -> _SeedRequest:
    """Find the projects and read the emails of `{name or UUID: {"owner": email, "users": [email, ...]}}`.

    Raises RefusedError if `projects` is not a mapping.
    """
    if not isinstance(projects, dict):
        raise RefusedError(f"projects must map project names to people, not be {_shown(projects)}.")
    request = _SeedRequest()
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


def _read_people(request: _SeedRequest, name: str, project_id: UUID, people: dict[str, Any]) -> None:
    owner, users = people.get("owner"), people.get("users")
    if owner and (email := _read_email(request, f"The owner of {_shown(name)}", owner)):
        request.owners[project_id] = email
    if not isinstance(users, list | None):
        request.invalid.append(f"The users of {_shown(name)} must be a list of emails, not {_shown(users)}.")
        return
    emails = (_read_email(request, f"A user of {_shown(name)}", each) for each in users or ())
    request.members.setdefault(project_id, []).extend(email for email in emails if email)


def _read_email(request: _SeedRequest, who: str, value: Any) -> str | None:
    email = value.strip() if isinstance(value, str) else ""
    if len(email) <= MAX_EMAIL_CHARACTERS and _EMAIL.fullmatch(email) and not UNSTORABLE.search(email):
        return email
    request.invalid.append(f"{who} must be an email address, not {_shown(value)}.")
    return None


def _shown(value: Any) -> str:
    return repr(value)[:100]


def _find_users(session: Session, emails: Iterable[str]) -> dict[str, UUID]:
    """Give the users there are by these emails, which may differ from their own in case."""
    wanted = set(emails)
    # By the exact email too: the server's lower() depends on its locale, ours does not.
    matches = or_(func.lower(User.email).in_({email.lower() for email in wanted}), User.email.in_(wanted))
    rows = session.execute(select(User.email, User.id).where(matches).order_by(User.email)).all()
    exact: dict[str, UUID] = {row.email: row.id for row in rows}
    folded: dict[str, UUID] = {row.email.lower(): row.id for row in reversed(rows)}
    found = {email: exact.get(email) or folded.get(email.lower()) for email in wanted}
    return {email: user_id for email, user_id in found.items() if user_id}


def _create_missing_users(session: Session, emails: list[str]) -> list[str]:
    existing = _find_users(session, emails)
    missing = {email.lower(): email for email in reversed(emails) if email not in existing}
    if not missing:
        return []
    kind = {"is_superadmin": False, "is_active": True}
    rows = [
        {"id": uuid4(), "email": email, "name": email.partition("@")[0], **kind}
        for email in sorted(missing.values())
    ]
    # The API server takes no part in our lock: it may add the same user meanwhile.
    statement = insert(User).values(rows).on_conflict_do_nothing(index_elements=[User.email])
    return sorted(session.scalars(statement.returning(User.email)))


def _set_owner(session: Session, project_id: UUID, owner_id: UUID) -> bool:
    changed = (
        update(Project)
        .where(Project.id == project_id, Project.owner_id.is_distinct_from(owner_id))
        .values(owner_id=owner_id)
        .returning(Project.id)
    )
    return session.scalars(changed).one_or_none() is not None


def _add_memberships(session: Session, pairs: set[tuple[UUID, UUID]]) -> int:
    if not pairs:
        return 0
    rows = [{"user_id": user_id, "project_id": project_id} for user_id, project_id in sorted(pairs)]
    statement = insert(Membership).values(rows).on_conflict_do_nothing()
    return len(session.scalars(statement.returning(Membership.user_id)).all())
