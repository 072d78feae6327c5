"""Options and arguments that cannot be read are told as JSON where that is asked for."""

from __future__ import annotations

import json

import pytest

from tests.commands import run_here


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("lint --json --nope", "No such option: --nope"),
        ("lint --nope --json x.xml", "No such option: --nope"),
        ("lint --json", "Missing argument 'FILES...'."),
        ("prune --json runs twice", "unexpected extra argument"),
        ("import --json --project", "requires an argument"),
    ],
)
def test_wrong_usage_is_a_document(line: str, sentence: str) -> None:
    done = run_here(*line.split())
    document = json.loads(done.stdout)
    assert sentence in document["error"]
    assert (document["version"], done.returncode) == (1, 2)
    assert document["hint"] == f"`ibutsu-tasks {line.split(maxsplit=1)[0]} --help` shows what it takes."
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ("--nope --json", "No such option: --nope", "`ibutsu-tasks --help` shows what it takes."),
        ("--json doctor", "No such option: --json", "`ibutsu-tasks --help` shows what it takes."),
        ("nope --json", "There is no command 'nope'.", "`ibutsu-tasks --help` lists the commands."),
        ("dead nope --json", "No such command 'nope'.", "`ibutsu-tasks dead --help` shows what it takes."),
        (
            "dead list --nope --json",
            "No such option: --nope",
            "`ibutsu-tasks dead list --help` shows what it takes.",
        ),
        ("enqueue update_run --wait x --json", "must be a number of seconds", None),
    ],
)
def test_so_is_what_stands_before_the_command_and_what_an_option_refuses(
    line: str, sentence: str, hint: str | None
) -> None:
    done = run_here(*line.split())
    document = json.loads(done.stdout)
    assert sentence in document["error"]
    assert (document["version"], document["hint"], done.returncode) == (1, hint, 2)


@pytest.mark.parametrize(
    "line", ["lint --nope x.xml", "lint --nope -- --json", "--nope doctor", "--nope -- --json"]
)
def test_people_get_what_click_says(line: str) -> None:
    done = run_here(*line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --nope" in done.stderr
