from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import Membership, Project, User
from ibutsu_tasks.ibutsu.operations.seeding import SeedSummary, seed_users
from tests.factories import make_project, make_user

if TYPE_CHECKING:
    from sqlalchemy import Engine


def members(session: Session, project: Project) -> list[str]:
    memberships = select(Membership.user_id).where(Membership.project_id == project.id)
    return sorted(session.scalars(select(User.email).where(User.id.in_(memberships))))


def owner(session: Session, project: Project) -> str | None:
    return session.scalar(
        select(User.email).join(Project, Project.owner_id == User.id).where(Project.id == project.id)
    )


def test_users_are_created_and_become_owners_and_members(session: Session) -> None:
    project = make_project(session, "web")
    summary = seed_users(session, {"web": {"owner": "ann@x.org", "users": ["ann@x.org", "bob@x.org"]}})
    assert asdict(summary) == {
        "created_users": ["ann@x.org", "bob@x.org"],
        "owners_set": 1,
        "memberships_added": 2,
        "unknown_projects": [],
        "invalid": [],
    }
    assert owner(session, project) == "ann@x.org"
    assert members(session, project) == ["ann@x.org", "bob@x.org"]
    bob = session.scalars(select(User).where(User.email == "bob@x.org")).one()
    assert (bob.name, bob.is_active, bob.is_superadmin, bob.password_hash) == ("bob", True, False, None)


def test_a_second_time_changes_nothing(session: Session) -> None:
    make_project(session, "web")
    wanted = {"web": {"owner": "ann@x.org", "users": ["ann@x.org", "bob@x.org"]}}
    seed_users(session, wanted)
    session.commit()
    assert seed_users(session, wanted) == SeedSummary()


def test_an_owner_is_replaced_and_is_no_member_by_that(session: Session) -> None:
    project = make_project(session, "web", owner_id=make_user(session, "old@x.org").id)
    summary = seed_users(session, {"web": {"owner": "new@x.org"}})
    assert (summary.created_users, summary.owners_set) == (["new@x.org"], 1)
    assert owner(session, project) == "new@x.org"
    assert members(session, project) == []


def test_emails_keep_their_case_and_match_without_it(session: Session) -> None:
    project = make_project(session, "web")
    make_user(session, "Ann@X.org")
    summary = seed_users(
        session, {"web": {"users": ["ann@x.ORG", "ANN@x.org", "Bob@x.org", "bob@X.org", " Bob@x.org "]}}
    )
    assert summary.created_users == ["Bob@x.org"]
    assert members(session, project) == ["Ann@X.org", "Bob@x.org"]


@pytest.mark.parametrize("email", ["Äpfel@x.org", "İ@x.org", "ß@x.org"])
def test_an_email_beyond_ascii_is_found_again(session: Session, email: str) -> None:
    make_project(session, "web")
    wanted = {"web": {"owner": email, "users": [email]}}
    assert seed_users(session, wanted).created_users == [email]
    assert seed_users(session, wanted) == SeedSummary()


def test_the_exact_email_wins_where_two_users_differ_in_case(session: Session) -> None:
    project = make_project(session, "web")
    make_user(session, "Ann@x.org")
    make_user(session, "ann@x.org")
    seed_users(session, {"web": {"owner": "ann@x.org"}})
    assert owner(session, project) == "ann@x.org"


def test_a_project_is_found_by_its_uuid(session: Session) -> None:
    project = make_project(session, "web")
    assert seed_users(session, {str(project.id): {"users": ["ann@x.org"]}}).memberships_added == 1
    assert members(session, project) == ["ann@x.org"]


def test_unknown_projects_are_listed_and_the_others_proceed(session: Session) -> None:
    project = make_project(session, "web")
    missing = str(uuid4())
    summary = seed_users(
        session, {"nope": {"users": ["eve@x.org"]}, missing: {}, "a\0b": {}, "web": {"users": ["ann@x.org"]}}
    )
    assert summary.unknown_projects == ["nope", missing, "a\0b"]
    assert summary.created_users == ["ann@x.org"]
    assert members(session, project) == ["ann@x.org"]


@pytest.mark.parametrize(
    ("people", "complaint"),
    [
        (None, "needs an object"),
        (["ann@x.org"], "needs an object"),
        ({"owner": "ann"}, "The owner of 'web' must be an email address, not 'ann'"),
        ({"owner": 5}, "must be an email address, not 5"),
        ({"users": "ann@x.org"}, "must be a list of emails"),
        ({"users": ["@x.org"]}, "must be an email address"),
        ({"users": ["a b@x.org"]}, "must be an email address"),
        ({"users": ["a@b@x.org"]}, "must be an email address"),
        ({"users": [None]}, "must be an email address"),
        ({"users": ["a\0@x.org"]}, "must be an email address"),
        ({"users": [f"{'a' * 400}@x.org"]}, "must be an email address"),
    ],
)
def test_an_invalid_part_is_reported_and_the_others_proceed(
    session: Session, people: Any, complaint: str
) -> None:
    make_project(session, "web")
    other = make_project(session, "api")
    summary = seed_users(session, {"web": people, "api": {"users": ["bob@x.org"]}})
    [sentence] = summary.invalid
    assert "web" in sentence
    assert complaint in sentence
    assert summary.created_users == ["bob@x.org"]
    assert members(session, other) == ["bob@x.org"]


def test_a_name_of_two_projects_is_reported(session: Session) -> None:
    make_project(session, "web")
    make_project(session, "web")
    summary = seed_users(session, {"web": {"users": ["ann@x.org"]}})
    assert "names 2 projects" in summary.invalid[0]
    assert summary.created_users == []


@pytest.mark.parametrize("projects", [None, [], "web", 5])
def test_something_else_than_a_mapping_is_refused(session: Session, projects: Any) -> None:
    with pytest.raises(RefusedError, match="must map project names"):
        seed_users(session, projects)


def test_seedings_at_the_same_time_make_each_user_once(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        for number in range(3):
            make_project(session, f"project {number}")

    def seed(turn: int) -> SeedSummary:
        emails = [f"{'U' if turn % 2 else 'u'}ser{number}@x.org" for number in range(20)]
        people = {"owner": emails[0], "users": emails[:: -1 if turn % 3 else 1]}
        with Session(engine) as session, session.begin():
            return seed_users(session, {f"project {number}": people for number in range(3)})

    with ThreadPoolExecutor(4) as pool:
        summaries = list(pool.map(seed, range(8)))
    assert sum(len(summary.created_users) for summary in summaries) == 20
    assert sum(summary.memberships_added for summary in summaries) == 60
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(User)) == 20


def test_many_users_take_few_statements(session: Session, statement_count: list[str]) -> None:
    make_project(session, "web")
    statement_count.clear()
    seed_users(
        session, {"web": {"owner": "u0@x.org", "users": [f"u{number}@x.org" for number in range(500)]}}
    )
    assert len(statement_count) <= 8


@pytest.fixture
def statement_count(engine: Engine) -> list[str]:
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    return seen
