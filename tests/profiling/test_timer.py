"""The timer's arithmetic, with a clock that the tests turn."""

import gc
from itertools import cycle, pairwise

import pytest

from mpsearch.profiling import timer
from mpsearch.profiling.timer import (
    SAMPLES_PER_TURN,
    PassSettings,
    TimerSettings,
    Turn,
    time_call,
    time_calls,
    time_singly,
    turn_of,
)


class Clock:
    """Time passes only when something is called."""

    def __init__(self) -> None:
        self.now_ns = 0

    def perf_counter_ns(self) -> int:
        self.now_ns += 20
        return self.now_ns

    def perf_counter(self) -> float:
        return self.perf_counter_ns() * 1e-9

    def call(self, *durations_ns):
        following = cycle(durations_ns).__next__
        log = []

        def run():
            log.append(self.now_ns)
            self.now_ns += following()

        run.log = log
        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timer, "time", clock)
    return clock


@pytest.mark.parametrize("duration_ns", [500, 7_000, 300_000, 50_000_000])
def test_the_clock_itself_stays_below_one_percent(clock, duration_ns):
    timing = time_call(clock.call(duration_ns))
    assert timing.median_s == pytest.approx(duration_ns * 1e-9, rel=0.01)
    assert timing.quartiles_s[0] <= timing.median_s <= timing.quartiles_s[1]
    assert not timing.is_noisy


def test_slow_calls_get_fewer_rounds_but_never_fewer_than_the_least(clock):
    settings = TimerSettings(rounds=41, least_rounds=7, budget_s=0.3)
    assert time_call(clock.call(1000), settings).repetitions == 41
    assert time_call(clock.call(20_000_000), settings).repetitions == 14
    assert time_call(clock.call(10**9), settings).repetitions == 7


def test_a_noisy_call_is_repeated_up_to_the_bound_and_marked(clock):
    settings = TimerSettings(sample_s=1e-6, rounds=10, patience=3, noise_limit=0.1)
    timing = time_call(clock.call(1000, 3000, 9000, 2000, 20_000), settings)
    assert timing.is_noisy
    assert timing.spread > 0.1
    assert timing.repetitions == 40


def test_only_the_noisy_one_of_several_calls_is_repeated(clock):
    settings = TimerSettings(sample_s=1e-6, rounds=10, patience=1, noise_limit=0.1)
    calm, noisy = time_calls([clock.call(5000), clock.call(1000, 3000, 9000, 20_000, 50_000)], settings)
    assert (calm.repetitions, noisy.repetitions) == (10, 20)


def test_calls_take_turns(clock):
    first, second = clock.call(10_000_000), clock.call(10_000_000)
    time_calls([first, second])
    order = sorted([(at, 0) for at in first.log] + [(at, 1) for at in second.log])
    changes = sum(a[1] != b[1] for a, b in pairwise(order))
    samples = 28  # at least, in 0.3 s, of 10 ms each
    assert changes >= 2 * (samples // SAMPLES_PER_TURN)


def test_each_call_is_warm_before_it_is_timed(clock):
    call = clock.call(*[10_000_000] * 3, *[1_000_000] * 10_000)
    assert time_call(call).median_s == pytest.approx(1e-3, rel=0.01)


def test_garbage_collection_is_off_while_timing_and_restored_even_on_failure():
    seen = []

    def fail():
        seen.append(gc.isenabled())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        time_call(fail)
    assert seen == [False]
    assert gc.isenabled()


def test_a_real_call_that_does_more_takes_longer():
    little, much = time_calls([lambda: sum(range(10)), lambda: sum(range(5000))])
    assert 0 < little.median_s < much.median_s


def test_single_calls_are_timed_one_by_one_after_a_warm_up(clock):
    call = clock.call(*[10_000] * 19, 50_000)
    settings = PassSettings(turns=10, passes=9, warm_up=1, patience=0, warm_up_s=0, turn_s=0)
    (timing,) = time_singly([call], settings)
    assert len(call.log) == 104  # four tell how long one takes
    assert timing.repetitions == 90
    assert timing.median_s == pytest.approx(10e-6, rel=0.01)
    assert timing.p99_s == pytest.approx(50e-6, rel=0.01)


def test_single_calls_that_differ_too_much_are_repeated_and_marked(clock):
    settings = PassSettings(turns=2, passes=5, warm_up=0, patience=2, noise_limit=0.1, warm_up_s=0, turn_s=0)
    calm, noisy = time_singly([clock.call(1000), clock.call(1000, 9000, 5000)], settings)
    assert (calm.repetitions, calm.is_noisy) == (10, False)
    assert (noisy.repetitions, noisy.is_noisy) == (30, True)


def test_turns_of_short_calls_are_longer_within_bounds(clock):
    settings = PassSettings(passes=12, warm_up=2, warm_up_s=1e-3, turn_s=2e-3, most_passes=50)
    assert turn_of(clock.call(100_000), settings) == Turn(warm_up=10, passes=20)
    assert turn_of(clock.call(1_000_000), settings) == Turn(warm_up=2, passes=12)
    assert turn_of(clock.call(1000), settings) == Turn(warm_up=50, passes=50)
