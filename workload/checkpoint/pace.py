"""When rank 0 wants what: the next save, the next look at the clock, at the control object and at the lock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workload.interval import FIRST_SAVE_S, Every, FailureRate, automatic
from workload.vault import control
from workload.vault.lock import TOUCH_S, Held
from workload.vault.store import Store, StoreError

CHECK_S: Final = 0.5  # how often the ranks come together to ask whether something is to be done
CONTROL_S: Final = 2.0  # how often rank 0 looks at the control object
_COSTS: Final = 5  # how many of the last saves tell their cost
_GROWTH: Final = 2  # the steps between two checks at most double: the first steps of a run are often odd
_CHANGED: Final = 1.1  # an interval that moved by less is not worth a line in the log


class Action(StrEnum):
    GO_ON = "go on"
    SAVE = "save"
    STOP = "stop"  # save, leave with 213
    LEAVE = "leave"  # save, leave with 224


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all ranks do now, and the step at which they ask again. request: id of the request that `action` obeys."""

    action: Action
    next_check: int
    request: str = ""


class Pace:
    """Rank 0's clock. `clock` is time.monotonic, but in tests."""

    def __init__(
        self,
        *,
        store: Store,
        held: Held,
        every: Every,
        nodes: int,
        rate: FailureRate,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._held = held
        self._every = every
        self._nodes = nodes
        self._rate = rate
        self._say = say
        self._clock = clock
        now = clock()
        self._costs: deque[float] = deque(maxlen=_COSTS)
        self._seconds = FIRST_SAVE_S if every.auto else every.seconds
        self._said = 0.0
        self._saved_at, self._saved_step = now, 0
        self._checked_at, self._checked_step, self._stride = now, 0, 1
        self._looked_at = float("-inf")
        self._touched_at = now

    def started(self, step: int, cost: float | None) -> None:
        """The run goes on from `step`, whose save took `cost` seconds."""
        self._checked_step = self._saved_step = step
        self._checked_at = self._saved_at = self._clock()
        if cost is not None:
            self._learn(cost)

    def saved(self, step: int, cost: float) -> None:
        """A save of `step` took `cost` seconds."""
        self._saved_at, self._saved_step = self._clock(), step
        self._checked_at, self._checked_step = self._saved_at, step
        self._learn(cost)

    def failed(self, step: int) -> None:
        """A save of `step` failed: it is tried again an interval later."""
        self._saved_at, self._saved_step = self._clock(), step

    def plan(self, step: int, *, term: bool) -> Plan:
        """What to do after `step` steps; `term`: SIGTERM came to some rank.

        Raises
        ------
        LockedError
            The lock is no longer ours.
        """
        now = self._clock()
        request = self._request(now)
        self._touch(now)
        next_check = step + self._steps_to_check(step, now)
        if request is not None and request.verb is control.Verb.STOP:
            return Plan(action=Action.STOP, next_check=next_check, request=request.id)
        if term:
            return Plan(action=Action.LEAVE, next_check=next_check)
        if request is not None:
            return Plan(action=Action.SAVE, next_check=next_check, request=request.id)
        return Plan(action=Action.SAVE if self._due(step, now) else Action.GO_ON, next_check=next_check)

    def _due(self, step: int, now: float) -> bool:
        if self._every.steps is not None:
            return step // self._every.steps > self._saved_step // self._every.steps
        return self._seconds is not None and now - self._saved_at >= self._seconds

    def _steps_to_check(self, step: int, now: float) -> int:
        """How many steps fit into CHECK_S, by those since the last check; never past a step that is to be saved."""
        done, seconds = step - self._checked_step, now - self._checked_at
        fit = int(CHECK_S * done / seconds) if seconds > 0 and done > 0 else self._stride
        self._stride = max(1, min(fit, _GROWTH * self._stride))
        self._checked_at, self._checked_step = now, step
        if self._every.steps is not None:
            return min(self._stride, self._every.steps - step % self._every.steps)
        return self._stride

    def _request(self, now: float) -> control.Request | None:
        if now - self._looked_at < CONTROL_S:
            return None
        self._looked_at = now
        try:
            return control.pending(self._store, self._held.owner.job)
        except StoreError as error:
            self._say(f"checkpoint: cannot look for requests: {error}")
            return None

    def _touch(self, now: float) -> None:
        if now - self._touched_at < TOUCH_S:
            return
        self._touched_at = now
        try:
            self._held.touch()
        except StoreError as error:
            self._say(f"checkpoint: cannot touch the lock: {error}")

    def _learn(self, cost: float) -> None:
        self._costs.append(cost)
        if not self._every.auto:
            return
        interval = automatic(self._costs, self._nodes, self._rate)
        self._seconds = interval.seconds
        if not self._said / _CHANGED <= interval.seconds <= self._said * _CHANGED:
            self._said = interval.seconds
            self._say(f"checkpoint: auto: {interval}")
