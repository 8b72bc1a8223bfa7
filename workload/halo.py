"""Exchange of the populations that cross the faces between blocks: non-blocking, and nothing else travels.

`crossings` plans it with integers; `Exchange` moves it with persistent MPI requests, so that a program computes
between `start` and `finish`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpi4py import MPI

from workload.grid import Decomposition, corners

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One population's slots in the ghost cells beyond one face, edge or corner, and the same slots at their owner.

    offset: where the owner's block is from here. ghost: box of ghost cells, (start, stop) along each axis, the
    block's own cells being 0 ... count. owner: the same cells in the owner's numbers.
    """

    offset: tuple[int, ...]
    population: int
    ghost: tuple[Range, ...]
    owner: tuple[Range, ...]


def crossings(
    shape: Sequence[int],
    directions: Sequence[Sequence[int]],
    *,
    cut: Sequence[tuple[bool, bool]],
    wraps: Sequence[bool],
    owner_shape: Callable[[tuple[int, ...]], Sequence[int]],
) -> list[Crossing]:
    """The slots outside a block that populations of its own cells reach in one step, grouped by owner.

    shape: cells of the block. directions: of the populations, in cells a step (-1, 0, 1 an axis). cut: for each
    axis, whether the low and the high end is shared with another block. wraps: axes that close on the block itself
    (all their cells are reached). owner_shape(offset): cells of the block at `offset`.
    """
    found = []
    for offset in corners(len(shape)):
        if not all(step == 0 or cut[axis][step > 0] for axis, step in enumerate(offset)):
            continue
        theirs = owner_shape(offset)
        for population, direction in enumerate(directions):
            if any(step not in (0, e) for step, e in zip(offset, direction, strict=True)):
                continue
            ghost, owner = [], []
            for axis, (step, e) in enumerate(zip(offset, direction, strict=True)):
                count = shape[axis]
                if step:
                    ghost.append((-1, 0) if step < 0 else (count, count + 1))
                    owner.append((theirs[axis] - 1, theirs[axis]) if step < 0 else (0, 1))
                else:
                    within = (0, count) if wraps[axis] else (max(0, e), count + min(0, e))
                    ghost.append(within)
                    owner.append(within)
            if all(start < stop for start, stop in ghost):
                found.append(Crossing(offset=offset, population=population, ghost=tuple(ghost), owner=tuple(owner)))
    return found


@dataclass(frozen=True, kw_only=True)
class Message:
    """What goes to one peer and what comes from it: views of equal dtype, packed in their order."""

    peer: int
    send_tag: int
    receive_tag: int
    send: Sequence[Any]
    receive: Sequence[Any]


@dataclass
class Timing:
    """Seconds in packing, unpacking and waiting, and bytes sent, since the start."""

    seconds: float = 0.0
    sent: int = field(default=0)


class Exchange:
    """A set of messages that is exchanged again and again.

    `start` packs and sends, `progress` lets MPI work, `finish` waits and unpacks. All three are to be called by all
    ranks of `comm`, in the same order; `free` gives the requests back. buffers(bytes) allocates what MPI reads and
    writes: plain memory for arrays of numpy, pinned or device memory for those of a GPU. mirror: an exchange of the
    same slots the other way, never under way at the same time: its buffers are used.
    """

    def __init__(
        self,
        comm: MPI.Comm,
        messages: Sequence[Message],
        *,
        buffers: "Buffers | None" = None,
        mirror: "Exchange | None" = None,
    ) -> None:
        self.timing = Timing()
        self._buffers = buffers or Buffers()
        self._moves: list[tuple[Sequence[Any], list[Any], Sequence[Any], list[Any]]] = []
        self._requests: list[MPI.Prequest] = []
        self._bytes = 0
        self._wholes: list[tuple[Any, Any]] = []
        for number, message in enumerate(messages):
            if mirror is None:
                out, out_parts = self._buffers.allocate(message.send)
                back, back_parts = self._buffers.allocate(message.receive)
            else:
                back, out = mirror._wholes[number]  # noqa: SLF001 - the same class
                _, back_parts, _, out_parts = mirror._moves[number]  # noqa: SLF001 - the same class
            self._wholes.append((out, back))
            self._moves.append((message.send, out_parts, message.receive, back_parts))
            self._requests.append(comm.Recv_init(self._buffers.for_mpi(back), message.peer, message.receive_tag))
            self._requests.append(comm.Send_init(self._buffers.for_mpi(out), message.peer, message.send_tag))
            self._bytes += int(out.nbytes)

    @property
    def memory(self) -> int:
        """Bytes of the buffers."""
        return sum(int(part.nbytes) for _, out, _, back in self._moves for part in (*out, *back))

    def start(self) -> None:
        """Pack and send."""
        began = time.perf_counter()
        for send, parts, _, _ in self._moves:
            for view, part in zip(send, parts, strict=True):
                part[...] = view
        self._buffers.settle_out([out for out, _ in self._wholes])
        MPI.Prequest.Startall(self._requests)
        self.timing.sent += self._bytes
        self.timing.seconds += time.perf_counter() - began

    def progress(self) -> None:
        """Let MPI work: large messages move only inside its calls."""
        if self._requests:
            MPI.Request.Testall(self._requests)

    def finish(self) -> None:
        """Wait for what was started, and unpack."""
        began = time.perf_counter()
        MPI.Request.Waitall(self._requests)
        self._buffers.settle_in([back for _, back in self._wholes])
        for _, _, receive, parts in self._moves:
            for view, part in zip(receive, parts, strict=True):
                view[...] = part
        self.timing.seconds += time.perf_counter() - began

    def free(self) -> None:
        """Give the requests back. Nothing may be under way."""
        for request in self._requests:
            request.Free()
        self._requests.clear()


class Buffers:
    """Memory that MPI reads and writes, for arrays of numpy."""

    def allocate(self, views: Sequence[Any]) -> tuple[Any, list[Any]]:
        """One contiguous buffer for all views, and its parts in their shapes."""
        sizes = [int(np.prod(view.shape)) for view in views]
        whole = self.empty(sum(sizes), views[0].dtype)
        parts, at = [], 0
        for view, size in zip(views, sizes, strict=True):
            parts.append(whole[at : at + size].reshape(view.shape))
            at += size
        return whole, parts

    def empty(self, count: int, dtype: Any) -> Any:
        return np.empty(count, dtype)

    def for_mpi(self, whole: Any) -> Any:
        """What mpi4py is given for a buffer."""
        return whole

    def settle_out(self, wholes: Sequence[Any]) -> None:
        """All packing has happened when this returns."""

    def settle_in(self, wholes: Sequence[Any]) -> None:
        """What MPI received may be unpacked when this returns."""


def offset_tag(offset: Sequence[int]) -> int:
    """A tag for each offset: base 3 digits."""
    tag = 0
    for step in offset:
        tag = 3 * tag + step + 1
    return tag


def messages(
    rank: int,
    decomposition: Decomposition,
    mine: Sequence[Crossing],
    crossings_of: Callable[[int], Sequence[Crossing]],
    view: Callable[[int, Sequence[Range]], Any],
) -> tuple[list[Message], list[Message]]:
    """The messages that fetch ghosts from their owners, and those that give them back.

    mine: crossings of `rank`; crossings_of(r): those of another. view(population, box): the slots as an array. The
    owner's part of a fetch is the mirror image of a neighbour's, so both ends agree on sizes without asking.
    """
    fetch, give = [], []
    for offset in corners(len(decomposition.cells)):
        ghosts = [c for c in mine if c.offset == offset]
        peer = decomposition.neighbour(rank, offset)
        if peer is None or not ghosts:
            continue
        mirror = tuple(-step for step in offset)
        owned = [c for c in crossings_of(peer) if c.offset == mirror]
        outside = [view(c.population, c.ghost) for c in ghosts]
        inside = [view(c.population, c.owner) for c in owned]
        tags = {"send_tag": offset_tag(offset), "receive_tag": offset_tag(mirror)}
        fetch.append(Message(peer=peer, send=inside, receive=outside, **tags))
        give.append(Message(peer=peer, send=outside, receive=inside, **tags))
    return fetch, give
