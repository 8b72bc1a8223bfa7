from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workload.gang.watch import LATE_S, LEAST_OWN_HANG_S, LOOK_S, Watch


def looking(watch: Watch, start: float, end: float) -> list[tuple[int, float]]:
    """Look each LOOK_S until somebody is found silent."""
    now = start
    while now <= end:
        if found := watch.silent(now):
            return found
        now += LOOK_S
    return []


@given(st.floats(1, 60))
def test_a_silent_member_is_found_after_the_silence_and_no_earlier(silence: float) -> None:
    watch = Watch(silence_s=silence)
    watch.beat(0, 100.0)
    watch.beat(1, 100.0)
    found = looking(watch, 100.0, 200.0)
    assert [index for index, _ in found] == [0, 1]
    assert silence < found[0][1] <= silence + 2 * LOOK_S


def test_who_beats_is_not_silent() -> None:
    watch = Watch(silence_s=5)
    now = 0.0
    while now < 60:
        if now % 2 == 0:
            watch.beat(0, now)
        assert watch.silent(now) == []
        now += LOOK_S


def test_late_beats_are_counted_and_early_ones_not() -> None:
    watch = Watch(silence_s=30)
    assert watch.beat(0, 0.0) is None
    assert watch.beat(0, LATE_S) is None
    assert watch.beat(0, 2 * LATE_S + 1) == LATE_S + 1
    assert watch.late == 1


def test_our_own_pause_proves_nothing_about_others() -> None:
    watch = Watch(silence_s=5)
    watch.beat(0, 0.0)
    assert watch.silent(0.5) == []
    assert watch.silent(60.0) == []  # we were stopped for a minute
    assert looking(watch, 60.5, 70.0)[0][0] == 0  # but who stays silent is found


def test_a_gone_member_is_watched_no_more() -> None:
    watch = Watch(silence_s=5)
    watch.beat(0, 1.0)
    assert watch.gone(0) == 1.0
    assert looking(watch, 1.0, 30.0) == []


def test_no_stall_before_the_ranks_run() -> None:
    assert Watch(silence_s=5, hang_after_s=1).stalled(1e6) is None


def test_a_job_that_sets_it_is_stalled_after_that_long_and_any_sign_puts_it_off() -> None:
    watch = Watch(silence_s=5, hang_after_s=10)
    watch.active(0.0)
    assert watch.stalled(9.0) is None
    watch.active(9.0)
    assert watch.stalled(19.0) is None
    assert watch.stalled(19.5) == 10.5


def test_without_a_limit_only_a_program_that_reports_progress_can_stall() -> None:
    watch = Watch(silence_s=5)
    watch.active(0.0)
    assert watch.stalled(1e6) is None
    watch.progressed(0.0, 1, 10)
    assert watch.stalled(LEAST_OWN_HANG_S - 1) is None
    assert watch.stalled(LEAST_OWN_HANG_S + 1) is not None


def test_a_slow_program_is_given_ten_of_its_own_steps() -> None:
    watch = Watch(silence_s=5)
    watch.progressed(0.0, 1, 10)
    watch.progressed(3600.0, 2, 10)
    assert watch.stalled(3600.0 + 9 * 3600) is None
    assert watch.stalled(3600.0 + 11 * 3600) is not None


def test_a_program_that_reported_its_last_step_does_not_stall_while_it_writes() -> None:
    watch = Watch(silence_s=5)
    watch.progressed(0.0, 9, 10)
    watch.progressed(1.0, 10, 10)
    assert watch.stalled(1e6) is None
