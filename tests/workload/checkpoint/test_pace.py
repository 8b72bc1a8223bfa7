"""When the ranks come together, and what for."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.checkpoint.pace import CHECK_S, CONTROL_S, Action, Pace
from workload.interval import FIRST_SAVE_S, Every, FailureRate, automatic
from workload.vault import control, lock
from workload.vault.folder import FolderStore

RATE = FailureRate(node_mtbf=3600.0, source="the test's")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A program of steps that take `step_s` each, as rank 0 sees it."""

    def __init__(self, folder: Path, every: str, step_s: float = 0.01, save_s: float = 0.0) -> None:
        self.store = FolderStore(str(folder))
        self.store.make_folder("")
        self.clock = Clock()
        self.said: list[str] = []
        self.checks: list[int] = []
        self.saves: list[int] = []
        self.step_s, self.save_s = step_s, save_s
        self.pace = Pace(
            store=self.store,
            held=lock.acquire(self.store, lock.Owner.of_this_process({})),
            every=Every.parse(every),
            nodes=4,
            rate=RATE,
            say=self.said.append,
            clock=self.clock,
        )
        self.step = self.next = 0

    def go(self, steps: int, *, term: bool = False) -> Action:
        """Do `steps` steps, or fewer where something other than a save comes up."""
        for _ in range(steps):
            self.step += 1
            self.clock.now += self.step_s
            if self.step < self.next:
                continue
            self.checks.append(self.step)
            plan = self.pace.plan(self.step, term=term)
            self.next = plan.next_check
            if plan.action is Action.SAVE:
                self.clock.now += self.save_s
                self.saves.append(self.step)
                self.pace.saved(self.step, self.save_s)
            elif plan.action is not Action.GO_ON:
                return plan.action
        return Action.GO_ON


@settings(max_examples=25, deadline=None)
@given(every=st.integers(1, 50), step_s=st.sampled_from([1e-5, 0.003, 0.4, 5.0]))
def test_every_n_steps_saves_at_each_multiple(
    tmp_path_factory: pytest.TempPathFactory, every: int, step_s: float
) -> None:
    run = Run(tmp_path_factory.mktemp("run"), str(every), step_s)
    run.go(200)
    assert run.saves == list(range(every, 201, every))


def test_a_run_that_goes_on_keeps_to_the_same_multiples(tmp_path: Path) -> None:
    run = Run(tmp_path, "10")
    run.pace.started(25, None)
    run.step = 25
    run.go(20)
    assert run.saves == [30, 40]


@pytest.mark.parametrize("step_s", [1e-4, 0.01, 0.3])
def test_a_time_is_kept_to_within_the_time_between_two_checks(tmp_path: Path, step_s: float) -> None:
    run = Run(tmp_path, "10s", step_s)
    run.go(int(65 / step_s))
    times = [step * step_s for step in run.saves]
    assert len(times) == 6
    for before, after in zip([0.0, *times], times, strict=False):
        assert 10 - 1e-6 <= after - before <= 10 + 2 * CHECK_S + step_s


@pytest.mark.parametrize("step_s", [1e-4, 0.01])
def test_the_ranks_come_together_about_as_often_as_agreed(tmp_path: Path, step_s: float) -> None:
    run = Run(tmp_path, "1h", step_s)
    run.go(int(30 / step_s))
    late = [b - a for a, b in zip(run.checks[20:], run.checks[21:], strict=False)]
    assert all(0.8 * CHECK_S <= steps * step_s <= 1.2 * CHECK_S for steps in late)
    slow = Run(tmp_path / "slow", "1h", 5.0)
    slow.go(10)
    assert slow.checks == list(range(1, 11)), "a long step is followed by a check, each time"


def test_auto_measures_one_save_and_then_keeps_to_young_and_daly(tmp_path: Path) -> None:
    run = Run(tmp_path, "auto", step_s=0.1, save_s=2.0)
    run.go(6000)
    expected = automatic([2.0], 4, RATE).seconds
    times = [step * 0.1 for step in run.saves]
    assert times[0] == pytest.approx(FIRST_SAVE_S, abs=2 * CHECK_S)
    for before, after in itertools.pairwise(times):
        assert after - before == pytest.approx(expected, abs=2 * CHECK_S)
    assert [line for line in run.said if "W = sqrt(2CM)" in line] == run.said[:1], "said once while nothing changes"


def test_auto_starts_with_the_cost_that_the_last_run_measured(tmp_path: Path) -> None:
    run = Run(tmp_path, "auto", step_s=0.1, save_s=2.0)
    run.pace.started(0, 2.0)
    run.go(3000)
    assert run.saves[0] * 0.1 == pytest.approx(automatic([2.0], 4, RATE).seconds, abs=2 * CHECK_S)


def test_a_failed_save_is_tried_again_an_interval_later(tmp_path: Path) -> None:
    run = Run(tmp_path, "10", step_s=1.0)
    run.go(9)
    run.pace.failed(10)
    run.step = run.next = 10
    run.go(10)
    assert run.saves == [20]


def test_sigterm_leaves_and_a_stop_that_was_asked_goes_before(tmp_path: Path) -> None:
    run = Run(tmp_path, "1h")
    assert run.go(100, term=True) is Action.LEAVE
    control.ask(run.store, control.Verb.STOP)
    run.clock.now += CONTROL_S
    assert run.go(100, term=True) is Action.STOP


def test_a_lock_that_is_lost_is_noticed_between_saves(tmp_path: Path) -> None:
    run = Run(tmp_path, "1h", step_s=1.0)
    run.go(10)
    run.store.delete(["lock.json"])
    with pytest.raises(lock.LockedError, match="our lock was removed"):
        run.go(100)


def test_a_control_object_that_nobody_can_read_stops_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, "1h", step_s=1.0)
    run.store.put("control.json", b'{"verb": "explode"}')
    assert run.go(20) is Action.GO_ON
