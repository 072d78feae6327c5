"""The benchmarks' own arithmetic and tables; no benchmark runs here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.measuring import interleave, ratio, single, speedup
from tests.benchmarks.registry import BENCHMARKS
from tests.benchmarks.report import WIDTH, as_table, shown, with_results

README = Path(report.__file__).with_name("README.md")

FIGURES = [
    ratio("COPY of the rows", 3.0, 2.0, "s", at_most=2, peak_rss_bytes=100 * 1024**2),
    ratio("rate, one process", 800, 1000, "/s", at_least=0.9),
    speedup("today", 3.0, 90.0, "s", at_least=20),
    single("statements", 1, "", at_most=1),
]

EMPTY_README = "before\n<!-- benchmarks -->\n<!-- /benchmarks -->\nafter\n"


@pytest.mark.parametrize("name", [benchmark.name for benchmark in BENCHMARKS])
def test_the_readme_has_a_result_of_every_benchmark(name: str) -> None:
    assert f"\n| `{name}`: " in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_benchmark_has_its_module(benchmark: object) -> None:
    assert importlib.util.find_spec(benchmark.module)  # type: ignore[attr-defined]


def test_figures_are_held_against_their_targets() -> None:
    assert [figure.result for figure in FIGURES] == [1.5, 0.8, 30, 1]
    assert [figure.is_met for figure in FIGURES] == [True, False, True, True]


def test_sides_take_turns_and_medians_count() -> None:
    order: list[str] = []
    values = {"a": iter([9.0, 1.0, 2.0]), "b": iter([5.0, 4.0, 90.0])}

    def side(name: str) -> float:
        order.append(name)
        return next(values[name])

    assert interleave(lambda: side("a"), lambda: side("b"), rounds=3) == [2.0, 5.0]
    assert "".join(order) == "abbaab"


def test_the_table_fits_a_terminal() -> None:
    wide = ratio("something of a long name", 1234567, 1000, "/s", at_least=20, peak_rss_bytes=2**40)
    console = Console(width=WIDTH)
    with console.capture() as captured:
        console.print(as_table({"import-archive": [*FIGURES, wide]}))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not [line for line in lines if "…" in line]


def test_results_are_written_beside_those_of_other_benchmarks() -> None:
    once = with_results(EMPTY_README, "2 cores", {"query": FIGURES[:1]})
    twice = with_results(once, "4 cores", {"import-junit": FIGURES[2:3], "prune": FIGURES[:1]})
    lines = [line.split("`")[1] for line in twice.splitlines() if line.startswith("| `")]
    assert lines == ["import-junit", "prune", "query"]
    assert "4 cores." in twice
    assert with_results(twice, "4 cores", {"query": FIGURES[:1]}) == twice


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (2.5, "s", "2.50 s"),
        (1.234, "×", "1.23×"),
        (12345.6, "/s", "12,346 /s"),
        (1, "", "1"),
    ],
)
def test_numbers_have_no_more_digits_than_a_run_can_tell(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
