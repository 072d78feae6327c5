"""Users for projects: created where missing, made owners and members."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.database.lock_wait import limit_lock_wait
from ibutsu_tasks.database.models import Membership, Project, User
from ibutsu_tasks.operations.seed_request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.orm import Session

SEED_LOCK_KEY = 0x1B07_5EED
"""Advisory lock: no index keeps out emails that differ in case only, so seedings wait for one another."""


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """What a seeding changed: emails of new users, counts, names not found, a sentence per invalid part."""

    created_users: tuple[str, ...] = ()
    owners_set: int = 0
    memberships_added: int = 0
    unknown_projects: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give the same as a JSON object."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def seed_users(session: Session, projects: dict[str, dict[str, Any]]) -> SeedSummary:
    """Create missing users, set owners, add memberships; `projects` maps a name or UUID to its people.

    People are `{"owner": email, "users": [email, ...]}`, both optional; an owner is a member only if
    listed. Emails are kept as given and compared without regard to case. Unknown projects and invalid
    parts are reported, the rest proceeds; a second time changes nothing. Holds a lock until the
    transaction ends. Raises RefusedError if `projects` is not a mapping.
    """
    _wait_for_other_seedings(session)
    request = read_request(session, projects)
    created = _create_missing_users(session, request.emails)
    users = _Users(session, request.emails)
    return SeedSummary(
        created_users=tuple(created),
        owners_set=sum(
            _set_owner(session, project, users.id_of(each)) for project, each in request.owners.items()
        ),
        memberships_added=_add_memberships(
            session,
            {(users.id_of(each), project) for project, emails in request.members.items() for each in emails},
        ),
        unknown_projects=tuple(request.unknown_projects),
        invalid=tuple(request.invalid),
    )


def _wait_for_other_seedings(session: Session) -> None:
    limit_lock_wait(session)
    session.execute(select(func.pg_advisory_xact_lock(SEED_LOCK_KEY)))


class _Users:
    """The users who have one of these emails, in whatever case."""

    def __init__(self, session: Session, emails: Iterable[str]) -> None:
        wanted = set(emails)
        # By the exact email too: the server's lower() depends on its locale, ours does not.
        matches = or_(func.lower(User.email).in_({email.lower() for email in wanted}), User.email.in_(wanted))
        rows = session.execute(select(User.email, User.id).where(matches).order_by(User.email)).all()
        self._exact: dict[str, UUID] = {row.email: row.id for row in rows}
        self._folded: dict[str, UUID] = {row.email.lower(): row.id for row in reversed(rows)}

    def __contains__(self, email: str) -> bool:
        return email in self._exact or email.lower() in self._folded

    def id_of(self, email: str) -> UUID:
        return self._exact.get(email) or self._folded[email.lower()]


def _create_missing_users(session: Session, emails: list[str]) -> list[str]:
    existing = _Users(session, emails)
    missing = {email.lower(): email for email in reversed(emails) if email not in existing}
    if not missing:
        return []
    rows = [
        {
            "id": uuid4(),
            "email": email,
            "name": email.partition("@")[0],
            "is_superadmin": False,
            "is_active": True,
        }
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
