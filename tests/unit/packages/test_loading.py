"""Which task packages are loaded, and what is said of those that cannot be."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.doctor import NEEDS
from ibutsu_tasks.packages import loading
from ibutsu_tasks.packages.loading import CORE, Packages, Source, load
from ibutsu_tasks.settings import all_rows, load_settings
from tests.packaged import declare, install, write_module

if TYPE_CHECKING:
    from pathlib import Path

_numbers = itertools.count(1)


class Shelf:
    """A directory of packages, each with a name that was never imported before."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.run = directory, next(_numbers)

    def name(self, name: str) -> str:
        return f"{name}{self.run}"

    def load(self, *names: str, without: tuple[str, ...] = ()) -> Packages:
        sources = [Source(f"{self.name(name)}.package", "on the shelf", self.name(name)) for name in names]
        return load(sources, without, loading.replace(CORE, settings=tuple(all_rows().values())))

    def declare(self, name: str, fields: str) -> None:
        declare(self.directory, self.name(name), fields)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.syspath_prepend(tmp_path)
    load_settings(environ={})
    return Shelf(tmp_path)


RULE = (
    'RetentionRule(name="old-rates", table="rates", date_column="at", default_age_days=9, minimum_age_days=1,'
    ' task="clean", help="Rates.")'
)

COLLISIONS = [
    ('schedule=(ScheduleRow("nightly", 60, "x"),)', "schedule entry nightly"),
    ('checks=(Check("rates", "A-R", "m:f"),)', "check rates"),
    ('settings=(Setting("rate", ("RATE",), "Of gold."),)', "setting rate"),
    ('settings=(Setting("rate{name}", ("RATE",), "Of gold."),)', "variable RATE"),
    ('subjects=(Subject("id", ("shop.run",)),)', "subject of shop.run"),
    ('importers=(Importer("tap", "{name}", "m:f", "m:f"),)', "importer tap"),
    ('importers=(Importer("{name}", "tap.import", "m:f", "m:f"),)', "import task tap.import"),
    (f"retention=({RULE},)", "retention rule old-rates"),
    (f"retention=({RULE.replace('old-', '{name}-')},)", "task of a retention rule clean"),
    ('checks=(Check("rates{name}", "A-R", "m:f"),)', "code of a check A-R"),
    ('tasks=("shared.tasks",)', "task module shared.tasks"),
]


@pytest.mark.parametrize(("fields", "what"), COLLISIONS)
def test_of_two_packages_that_collide_the_first_stays(shelf: Shelf, fields: str, what: str) -> None:
    for name in ("one", "other"):
        shelf.declare(name, fields.replace("{name}", name))
    found = shelf.load("one", "other")
    assert list(found.sources) == [shelf.name("one")]
    place, one = f"{shelf.name('other')}.package", shelf.name("one")
    assert found.problems == {
        place: f"{place} (on the shelf) collides with the package {one}: both have the {what}."
    }


def test_two_packages_of_one_name_collide(shelf: Shelf) -> None:
    shelf.declare("one", "")
    write_module(
        shelf.directory,
        f"{shelf.name('other')}.package",
        f"from ibutsu_tasks.packages import TaskPackage\nPACKAGE = TaskPackage(name={shelf.name('one')!r},"
        f" queues=())\nPACKAGE = TaskPackage(name={shelf.name('one')!r}, migrate='By hand.')",
    )
    problems = shelf.load("one", "other").problems.values()
    assert [f"both have the package {shelf.name('one')}." in one for one in problems] == [True]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        *(('checks=(Check("%s", "A-R", "m:f"),)' % name, f"check {name}") for name in NEEDS),  # noqa: UP031
        ('settings=(Setting("broker_url", ("RATE",), "It."),)', "setting broker_url"),
        ('settings=(Setting("rate", ("CELERY_BROKER_URL",), "It."),)', "variable CELERY_BROKER_URL"),
        ('settings=(Setting("rate", ("POSTGRES_DB",), "It."),)', "variable POSTGRES_DB"),
        ('settings=(Setting("rate", ("POSTGRES_DB_FILE",), "It."),)', "variable POSTGRES_DB_FILE"),
    ],
)
def test_no_package_takes_what_is_the_core_s(shelf: Shelf, fields: str, what: str) -> None:
    shelf.declare("greedy", fields)
    (problem,) = shelf.load("greedy").problems.values()
    assert problem.endswith(f"collides with the package {CORE.name}: both have the {what}.")


def test_the_names_of_all_own_checks_are_taken() -> None:
    assert {check.name for check in CORE.checks} == NEEDS.keys()


def test_the_task_of_an_importer_has_its_subject(shelf: Shelf) -> None:
    importers = 'importers=(Importer("tap", "tap.import", "m:f", "m:f"),)'
    shelf.declare("tap", importers)
    found = shelf.load("tap")
    assert found.subjects["tap.import"].id_of([{"id": "5"}], {}) == "5"
    assert list(found.importers) == ["tap"]
    (problem,) = found.import_tasks().values()
    assert problem.startswith(f"m:f of the package {shelf.name('tap')} cannot be imported: ModuleNotFound")
    shelf.declare("other", f'{importers}, subjects=(Subject("id", ("tap.import",)),)')
    assert next(iter(shelf.load("other").problems.values())).endswith("has the subject of tap.import twice.")


def test_a_name_twice_in_one_package_is_refused(shelf: Shelf) -> None:
    row = 'ScheduleRow("nightly", 60, "x")'
    shelf.declare("twice", f"schedule=({row}, {row})")
    shelf.declare("again", f"retention=({RULE}, {RULE})")
    problems = [*shelf.load("twice", "again").problems.values()]
    assert problems[0].endswith("has the schedule entry nightly twice.")
    assert problems[1].endswith("has the retention rule old-rates twice.")


def test_the_rules_of_all_packages_are_known_by_name_in_order(shelf: Shelf) -> None:
    for name in ("one", "other"):
        rules = (RULE.replace("old", rule).replace("clean", rule) for rule in (name, f"older-{name}"))
        shelf.declare(name, f"retention=({', '.join(rules)})")
    rules = shelf.load("one", "other").retention
    assert list(rules) == ["one-rates", "older-one-rates", "other-rates", "older-other-rates"]
    assert all(rule.name == name for name, rule in rules.items())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3."),
        ("1 +", "cannot be imported: SyntaxError: "),
        ("PACKAGE = 3", "is no TaskPackage but int."),
        ("", "cannot be imported: AttributeError: "),
        (
            'from ibutsu_tasks.packages import *\nScheduleRow("dump", "0 2 * *", "x")',
            "cannot be imported: ValueError: dump has the crontab '0 2 * *', which has not five fields.",
        ),
    ],
)
def test_a_package_that_cannot_be_used_is_named_with_the_reason(shelf: Shelf, text: str, why: str) -> None:
    write_module(shelf.directory, f"{shelf.name('broken')}.package", text)
    shelf.declare("sound", "")
    found = shelf.load("broken", "sound")
    assert list(found.sources) == [shelf.name("sound")]
    (problem,) = found.problems.values()
    assert problem.startswith(f"{shelf.name('broken')}.package (on the shelf) {why}")
    # What is left out by name is not imported.
    assert not shelf.load("broken", "sound", without=(shelf.name("broken"),)).problems


def test_a_module_of_tasks_that_cannot_be_imported_is_named(shelf: Shelf) -> None:
    name = shelf.name("broken")
    shelf.declare("broken", f'tasks=("{name}.tasks", "{name}.nowhere")')
    write_module(shelf.directory, f"{name}.tasks", "raise RuntimeError('no luck')")
    assert shelf.load("broken").import_tasks() == {
        f"{name}.tasks": f"{name}.tasks of the package {name} cannot be imported: RuntimeError: no luck.",
        f"{name}.nowhere": f"{name}.nowhere of the package {name} cannot be imported: ModuleNotFoundError:"
        f" No module named '{name}.nowhere'.",
    }


def test_a_task_belongs_to_the_package_that_names_its_module_or_one_above(shelf: Shelf) -> None:
    name = shelf.name("owner")
    shelf.declare("owner", f'tasks=("{name}.tasks",)')
    found = shelf.load("owner")
    owners = [found.owner_of(f"{name}{module}") for module in (".tasks", ".tasks.more", ".tasksmore", "")]
    assert owners == [name, name, None, None]


def test_an_installed_package_is_found_by_its_entry_point(shelf: Shelf) -> None:
    name = shelf.name("installed")
    shelf.declare("installed", 'queues=(Queue("goods"),)')
    install(shelf.directory, name, f"{name}.package:PACKAGE")
    (source,) = [one for one in loading._installed() if one.known_as == name]
    assert source == Source(f"{name}.package:PACKAGE", f"installed with {name} 1.2", name)
    assert load([source]).queues == ("goods",)


def test_what_is_named_by_its_module_is_left_out_by_it() -> None:
    named = {"IBUTSU_TASKS_PACKAGES": "nothing.there"}
    load_settings(environ=named)
    assert list(loading.loaded().problems) == ["nothing.there"]
    load_settings(environ=named | {"IBUTSU_TASKS_WITHOUT_PACKAGES": "nothing.there"})
    assert not loading.loaded().problems
    assert loading.loaded().left_out == {"nothing.there"}
