"""Is everybody still there, and does the program get on? Pure: times in, findings out. Times are monotonic seconds."""

from __future__ import annotations

from typing import Final

BEAT_S: Final = 2.0
LATE_S: Final = 5.0  # a later beat is logged and counted
LOOK_S: Final = 0.5  # how often the watch looks
PAUSED_S: Final = 2.0  # a longer gap between two looks is our own pause: others' silence in it proves nothing
# Where the job sets no `hang_after`, a program that has reported progress is stalled after this many of its own longest
# intervals between two reports, and never before a quarter of an hour.
OWN_INTERVALS: Final = 10.0
LEAST_OWN_HANG_S: Final = 900.0


class Watch:
    """Signs of life of members, and of the program. `hang_after_s` 0: the job sets none."""

    def __init__(self, *, silence_s: float, hang_after_s: float = 0.0) -> None:
        self.silence_s = silence_s
        self.hang_after_s = hang_after_s
        self.seen: dict[int, float] = {}
        self.late = 0
        self._looked: float | None = None
        self._active: float | None = None
        self._reported: float | None = None
        self._longest_s = 0.0
        self._finished = False

    def beat(self, index: int, now: float) -> float | None:
        """A sign of life. Returns the seconds since the one before where that is late."""
        before = self.seen.get(index)
        self.seen[index] = now
        if before is None or now - before <= LATE_S:
            return None
        self.late += 1
        return now - before

    def gone(self, index: int) -> float:
        """Watch a member no longer. Returns when it was last seen."""
        return self.seen.pop(index, float("-inf"))

    def silent(self, now: float) -> list[tuple[int, float]]:
        """Members that are silent for too long, with their seconds of silence."""
        if self._looked is not None and (pause := now - self._looked) > PAUSED_S:
            for index in self.seen:
                self.seen[index] += pause
            if self._active is not None:
                self._active += pause
        self._looked = now
        return [(index, now - seen) for index, seen in sorted(self.seen.items()) if now - seen > self.silence_s]

    def active(self, now: float) -> None:
        """The program wrote a line, or its ranks have just started."""
        self._active = now

    def progressed(self, now: float, step: int, total: int | None) -> None:
        """The program reported progress."""
        if self._reported is not None:
            self._longest_s = max(self._longest_s, now - self._reported)
        self._reported = now
        self._finished = total is not None and step >= total
        self.active(now)

    def stalled(self, now: float) -> float | None:
        """Seconds without progress, where that is longer than the job allows."""
        if self._active is None:
            return None
        limit = self.hang_after_s
        if not limit:
            if self._reported is None or self._finished:
                return None
            limit = max(LEAST_OWN_HANG_S, OWN_INTERVALS * self._longest_s)
        idle = now - self._active
        return idle if idle > limit else None
