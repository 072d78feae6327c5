from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.retention.batches import TARGET_SECONDS, BatchTuner

START_WEIGHT = BatchTuner().weight


def run_batches(tuner: BatchTuner, seconds_per_row: float, number: int) -> list[float]:
    """Feed it full batches of a database this fast; give how long each took."""
    times = []
    for _ in range(number):
        times.append(0.005 + tuner.weight * seconds_per_row)
        tuner.learn(1, tuner.weight, times[-1])
    return times


def test_it_starts_small_and_grows_to_its_time() -> None:
    tuner = BatchTuner()
    times = run_batches(tuner, 0.0001, 10)
    assert tuner.weight > START_WEIGHT
    assert times == sorted(times)
    assert times[-1] <= TARGET_SECONDS * 1.1


def test_it_shrinks_at_once_when_the_database_slows_down() -> None:
    tuner = BatchTuner()
    run_batches(tuner, 0.00002, 10)
    assert tuner.weight == tuner.highest_weight
    times = run_batches(tuner, 0.00008, 4)
    assert times[0] < 1
    assert times[-1] <= TARGET_SECONDS * 1.1


def test_a_small_last_batch_changes_nothing() -> None:
    tuner = BatchTuner()
    tuner.learn(3, 3, 0.005)
    assert tuner.weight == START_WEIGHT


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4)), max_size=50))
def test_it_stays_within_its_bounds(batches: list[tuple[float, float]]) -> None:
    tuner = BatchTuner()
    for weight, seconds in batches:
        tuner.learn(1, weight, seconds)
        assert tuner.lowest_weight <= tuner.weight <= tuner.highest_weight


def test_rows_with_many_dependants_are_chosen_by_the_few() -> None:
    tuner = BatchTuner()
    assert tuner.roots == START_WEIGHT
    tuner.learn(1, 110, TARGET_SECONDS)
    assert tuner.roots == START_WEIGHT // 110
    tuner.learn(0, 0, TARGET_SECONDS)
    assert tuner.roots == START_WEIGHT // 110
    tuner.learn(0, START_WEIGHT, TARGET_SECONDS)
    assert tuner.roots == 1
