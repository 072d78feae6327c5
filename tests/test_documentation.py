"""Documentation that cannot drift: what is generated is fresh, and what is promised exists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import ibutsu_tasks
from ibutsu_tasks import errors
from ibutsu_tasks.cli import COMMANDS, load_command
from ibutsu_tasks.cli.exit_codes import ExitCode, exit_code_of
from ibutsu_tasks.cli.imports.files import COLUMNS
from ibutsu_tasks.errors import IbutsuTasksError
from tests import documentation
from tests.documentation import COMPLETIONS, MAP, PACKAGE, PAGES, README, ROOT, SHELLS, completion_script

if TYPE_CHECKING:
    from pathlib import Path


def readme() -> str:
    return README.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_generated_parts_of_the_pages_are_fresh(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert documentation.with_generated_blocks(text) == text, "run `python -m tests.documentation`"


ALL_PAGES = sorted(
    path
    for folder in ("", "ibutsu_tasks", "tests/benchmarks", "examples")
    for path in ((ROOT / folder).glob("*.md") if not folder else (ROOT / folder).rglob("README.md"))
)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_the_pages_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_map_names_places_that_exist() -> None:
    table = re.findall(
        r"^\| (?!To add|---)([^|]*)\| ([^|]*) \|", MAP.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(table) == len(dict(table)), "a thing to add stands there twice"
    rows = dict(table).values()
    places = [
        place for row in rows for place in re.findall(r"`((?:[\w<>]+/)*(?:[\w<>]+\.py|[\w<>]+/))`", row)
    ]
    assert len(places) > len(rows)
    for place in places:
        root = ROOT if place.startswith("tests/") else PACKAGE
        assert list(root.glob(re.sub(r"<\w+>", "*", place))), place


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completions_are_fresh(shell: str) -> None:
    written = (COMPLETIONS / SHELLS[shell]).read_text(encoding="utf-8")
    assert written == completion_script(shell), "run `python -m tests.documentation`"


def test_the_signatures_of_the_tasks_are_fresh() -> None:
    written = documentation.SIGNATURES.read_text(encoding="utf-8")
    assert written == documentation.signatures_module(), "run `python -m tests.documentation`"


def test_every_command_file_is_in_the_table() -> None:
    files = {path.stem for path in (PACKAGE / "cli/commands").glob("*.py")} - {"__init__"}
    assert files == {row.module for row in COMMANDS}


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_every_command_and_option_has_a_help_text(row: object) -> None:
    command = load_command(row)  # type: ignore[arg-type]
    for one in [command, *getattr(command, "commands", {}).values()]:
        assert one.help
        nameless = [option.name for option in one.params if not getattr(option, "help", None)]
        assert not nameless


def test_the_test_command_of_the_readme_is_what_ci_runs() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert f"```console\n{command}\n```" in readme()
    assert command in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_capture_shows_the_examples_in_the_columns_of_today() -> None:
    capture = re.search(r"<!-- capture -->\n```text\n(.*?)```", readme(), re.DOTALL)
    assert capture
    for name in (path.name for path in (ROOT / "examples/results").iterdir()):
        assert f"\n{name} " in capture[1]
    assert f"  {' '.join(COLUMNS[:-2])}" in capture[1].replace("  took", " took")


def test_commands_named_in_the_readme_exist() -> None:
    names = {row.name for row in COMMANDS}
    used = set(re.findall(r"^(?:.*&& )?ibutsu-tasks ([a-z]+)", readme(), re.MULTILINE))
    assert used
    assert used <= names


def test_the_changelog_begins_with_what_comes_next_or_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (.+)$", changelog, re.MULTILINE)[0].partition(" ")[0]
    assert newest in {"Unreleased", ibutsu_tasks.__version__}


class OfAPackageError(IbutsuTasksError):
    """What a task package may raise."""


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.TaskArgumentsError, ExitCode.USAGE),
        (errors.SettingsError, ExitCode.SETTINGS),
        (errors.BrokerUnreachableError, ExitCode.UNREACHABLE),
        (errors.WaitTimeoutError, ExitCode.TIMED_OUT),
        (errors.RefusedError, ExitCode.BAD_NEWS),
        (OfAPackageError, ExitCode.BAD_NEWS),
    ],
)
def test_every_error_has_an_exit_code(kind: type[IbutsuTasksError], code: ExitCode) -> None:
    assert exit_code_of(kind("It went wrong.")) is code
