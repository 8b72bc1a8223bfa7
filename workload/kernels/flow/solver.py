"""The flow on all ranks: blocks, halos and the kernel put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from workload import halo
from workload.grid import Block, Decomposition, decompose
from workload.kernels.flow import links as linking
from workload.kernels.flow.case import Case, initial_moments
from workload.kernels.flow.collision import equilibrium, moments
from workload.kernels.flow.layout import Layout
from workload.kernels.flow.schedule import SEGMENTS, Ends, Sweep, plan, segments
from workload.kernels.flow.stencil import DIRECTIONS, OPPOSITE, Q

FACE_COST = (8.0, 1.0, 1.0)  # of a shared face, in updates a cell: one across x is read and written cell by cell
TILE = 16  # rows: two planes of a tile, 19 x 160 float64 cells each row, lie in the second-level cache
STEPS_AT_ONCE = 2
LIMIT = 0.5  # of the density's distance from 1: slow flow stays below a hundredth of it


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of a case that one rank has: where, and what lies around it."""

    case: Case
    decomposition: Decomposition
    rank: int

    @cached_property
    def block(self) -> Block:
        return self.decomposition.block(self.rank)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        nx, ny, nz = self.block.shape
        return nx, ny, nz

    @cached_property
    def ends(self) -> tuple[Ends, Ends, Ends]:
        """What each end of the block is."""

        def kind(axis: int, step: int) -> str:
            offset = [0, 0, 0]
            offset[axis] = step
            if self.decomposition.neighbour(self.rank, offset) is None:
                return "wall"
            return "wrap" if self.decomposition.parts[axis] == 1 else "cut"

        x, y, z = ((kind(axis, -1), kind(axis, 1)) for axis in range(3))
        return x, y, z

    @cached_property
    def layout(self) -> Layout:
        x, y, z = ("wrap" in ends for ends in self.ends)
        return Layout(shape=self.shape, wraps=(x, y, z))

    @cached_property
    def columns(self) -> list[int]:
        return segments(self.shape[0], self.ends[0])

    def crossings(self) -> list[halo.Crossing]:
        """Slots that are shared with other ranks."""

        def theirs(offset: tuple[int, ...]) -> Sequence[int]:
            peer = self.decomposition.neighbour(self.rank, offset)
            return self.shape if peer is None else self.decomposition.block(peer).shape

        cut = [(low == "cut", high == "cut") for low, high in self.ends]
        return [
            crossing
            for crossing in halo.crossings(self.shape, DIRECTIONS, cut=cut, wraps=self.layout.wraps, owner_shape=theirs)
            if self.decomposition.neighbour(self.rank, crossing.offset) is not None
        ]

    def around(self) -> linking.Surroundings:
        indices = [
            np.arange(start - 1, start + count + 1) % cells
            for start, count, cells in zip(self.block.start, self.shape, self.case.grid, strict=True)
        ][::-1]
        obstacle = self.case.obstacle
        solid = (
            np.zeros([len(index) for index in indices], dtype=np.bool_)
            if obstacle is None
            else obstacle.around(indices)
        )
        return linking.surroundings(
            solid,
            outside=[(low == "wall", high == "wall") for low, high in self.ends],
            closing=self.layout.wraps[0],
            order=self.case.side_order(),
        )

    def links(self, around: linking.Surroundings, dtype: npt.DTypeLike) -> tuple[linking.Links, linking.Openings]:
        case = self.case

        def wall_speed(side: int, direction: int, x: Any, y: Any, z: Any) -> Any:
            velocity = case.sides[side // 2][side % 2].velocity
            e = DIRECTIONS[direction]
            crossing = [
                index + start + 0.5 + 0.5 * step
                for index, start, step in zip((x, y, z), self.block.start, e, strict=True)
            ]
            return sum(c * v for c, v in zip(e, velocity, strict=True)) * case.profile(side, crossing)

        open_sides = frozenset(
            2 * axis + high for axis in range(3) for high in range(2) if case.sides[axis][high].kind == "outlet"
        )
        return linking.links(
            around, self.layout, columns=self.columns, open_sides=open_sides, wall_speed=wall_speed, dtype=dtype
        )


class Flow:
    """A case that runs on all ranks of a communicator.

    All methods are collective over `comm`. Steps come in pairs, since in-place streaming has the populations in their
    natural order after an even number of them; one that is left over costs some eight times as much as one of a pair.
    """

    def __init__(self, case: Case, comm: MPI.Comm, *, dtype: npt.DTypeLike, kernel: Callable[..., Any]) -> None:
        self.case = case
        self.comm = comm
        self.dtype = np.dtype(dtype)
        decomposition = decompose(case.grid, comm.size, periodic=case.periodic, face_cost=FACE_COST)
        self.part = Part(case=case, decomposition=decomposition, rank=comm.rank)
        part = self.part
        around = part.around()
        links, openings = part.links(around, dtype)
        self.kernel = kernel(
            layout=part.layout,
            around=around,
            columns=part.columns,
            links=links,
            openings=openings,
            rates=case.rates,
            force=case.force,
            dtype=self.dtype,
        )
        whole = Sweep(0, 0, part.shape[2], 0, part.shape[1], 0, SEGMENTS)
        self._even = self.kernel.program([whole])
        schedule = plan(part.shape, part.ends, tile=TILE if self.kernel.sweeps else None)
        self._skin, self._rest = (self.kernel.program(sweeps) for sweeps in (schedule.skin, schedule.rest))
        self._inner = [self.kernel.program(chunk) for chunk in schedule.inner]
        fetch, give = halo.messages(
            comm.rank,
            decomposition,
            part.crossings(),
            lambda peer: Part(case=case, decomposition=decomposition, rank=peer).crossings(),
            self._slots,
        )
        buffers = self.kernel.buffers()
        self._fetch = halo.Exchange(comm, fetch, buffers=buffers)
        self._give = halo.Exchange(comm, give, buffers=buffers, mirror=self._fetch)
        # What is around each cell is needed no more: a mask of the fluid is kept, where there is something else.
        self._fluid = np.ones(0, dtype=np.bool_) if case.obstacle is None else around.fluid
        self._start()

    def _slots(self, population: int, box: Sequence[tuple[int, int]]) -> Any:
        """View of a population's slots in a box of cells, ghosts having the numbers -1 and count."""
        layout = self.part.layout
        ghosts = (1, *layout.ghosts)
        x, y, z = (slice(start + ghost, stop + ghost) for (start, stop), ghost in zip(box, ghosts, strict=True))
        return layout.view(self.kernel.storage)[z, y, population, x]

    def _start(self) -> None:
        """Equilibrium with the case's density and velocity."""
        (x0, y0, _), (nx, ny, _) = self.part.block.start, self.part.shape
        excess, velocity = initial_moments(self.case, np.arange(x0, x0 + nx), np.arange(y0, y0 + ny))
        populations = equilibrium(excess, excess + 1.0, velocity, np.float64)
        for i, population in enumerate(populations):
            values = np.broadcast_to(population, (ny, nx)).astype(self.dtype)
            self.populations[:, :, i, :] = self.kernel.put(values)

    @property
    def populations(self) -> Any:
        """The block's populations, less their weights: a view, (nz, ny, 19, nx). With the block, all of the state."""
        return self.part.layout.inner(self.kernel.storage)

    def state(self) -> npt.NDArray[Any]:
        """`populations` where numpy reads them: the same memory on a CPU, a copy from a GPU."""
        found: npt.NDArray[Any] = self.kernel.host(self.populations)
        return found

    def take_state(self, state: npt.NDArray[Any]) -> None:
        """Go on from `state`, which may be what `state()` returned, changed."""
        if not np.shares_memory(self.state(), state):
            self.populations[...] = self.kernel.put(state)

    def advance(self, steps: int) -> None:
        """Advance by a number of steps; bitwise the same however they are grouped."""
        half = -(-len(self._inner) // 2)
        for pair in range(steps // STEPS_AT_ONCE):
            for chunk in self._inner[:half]:
                self.kernel.execute(chunk)
                self._give.progress()
            if pair:
                self._take_back()
            self.kernel.execute(self._skin)
            self.kernel.skin_done()
            self._fetch.start()
            for chunk in self._inner[half:]:
                self.kernel.execute(chunk)
                self._fetch.progress()
            self._fetch.finish()
            self.kernel.execute(self._rest)
            self.kernel.odd_done()
            self._give.start()
        if steps >= STEPS_AT_ONCE:
            self._take_back()
        if steps % STEPS_AT_ONCE:
            self._single()

    def _single(self) -> None:
        """One step: an even one, and then each population is moved to where it arrives.

        After the even step, what left cell x along direction i stands in the cell's own slot of the opposite direction,
        o, and walls, ends of rows and other ranks' cells are links and ghosts as before an odd step. So what arrives in
        x along i stands in slot o of the cell x - i: the two slots of a pair change places across each link.
        """
        self.kernel.execute(self._even)
        self.kernel.skin_done()
        self._fetch.start()
        self._fetch.finish()
        self.kernel.ghosts_came()
        for i in range(1, Q, 2):
            o = OPPOSITE[i]
            arriving, opposite = self._upstream(i, o), self._upstream(o, i)
            self.populations[:, :, i, :], self.populations[:, :, o, :] = arriving, opposite

    def _upstream(self, direction: int, slot: int) -> Any:
        """A copy of `slot` of the cells from which `direction` leads to the block's own, (nz, ny, nx)."""
        planes, rows, columns = self.part.layout.upstream(DIRECTIONS[direction])
        view = self.part.layout.view(self.kernel.storage)[:, :, slot, columns]
        return view[self.kernel.put(planes), self.kernel.put(rows)]

    def _take_back(self) -> None:
        """Wait for the slots that other ranks give back."""
        self._give.finish()
        self.kernel.return_across()

    @property
    def fluid(self) -> npt.NDArray[np.bool_]:
        """The block's cells that are fluid, (nz, ny, nx)."""
        return self._fluid if self._fluid.size else np.broadcast_to(np.True_, self.part.shape[::-1])

    def fields(self, planes: slice = slice(None)) -> tuple[Any, list[Any]]:
        """Density and velocity (x, y, z) of the block's planes, each (planes, ny, nx); solid: density 1, at rest."""
        here = self.kernel.host(self.populations[planes])
        one: Any = self.dtype.type
        _, density, momentum = moments([here[:, :, i, :] for i in range(Q)], lambda value: one(float(value)))
        half, fluid = one(0.5), self.fluid[planes]
        velocity = [(j + half * one(g)) / density for j, g in zip(momentum, self.case.force, strict=True)]
        return np.where(fluid, density, one(1)), [np.where(fluid, u, one(0)) for u in velocity]

    def mass_excess(self) -> float:
        """What the fluid of all ranks weighs more than at density 1. Collective."""
        mine = 0.0
        for plane in range(self.part.shape[2]):
            density, _ = self.fields(slice(plane, plane + 1))
            mine += float((density.astype(np.float64) - 1.0).sum())
        return float(self.comm.allreduce(mine))

    def fluid_cells(self) -> int:
        """Fluid cells of all ranks. Collective."""
        return int(self.comm.allreduce(int(self.fluid.sum())))

    def bad_cell(self) -> tuple[int, int, int] | None:
        """The first cell (x, y, z) whose density is no number or off by more than LIMIT. Collective."""
        nx, ny, nz = self.case.grid
        found, number = self.kernel.first_bad(LIMIT), nx * ny * nz
        if found >= 0:
            row, x = divmod(found, self.part.shape[0])
            z, y = divmod(row, self.part.shape[1])
            x0, y0, z0 = self.part.block.start
            number = ((z + z0) * ny + y + y0) * nx + x + x0
        first = int(self.comm.allreduce(number, MPI.MIN))
        if first == nx * ny * nz:
            return None
        return first % nx, first // nx % ny, first // nx // ny

    def force_on_obstacle(self) -> npt.NDArray[np.float64]:
        """Force (x, y, z; lattice units) on the obstacle in the last step. Collective."""
        total = np.empty(3)
        self.comm.Allreduce(self.kernel.push(), total)
        return total

    def memory(self) -> int:
        """Bytes of arrays that last, of all ranks. Collective."""
        mine = self.kernel.memory() + self._fluid.nbytes + self._fetch.memory
        return int(self.comm.allreduce(mine))

    @property
    def halo(self) -> tuple[float, int]:
        """Seconds of this rank in the halo (packing, waiting) and bytes sent, so far."""
        return (
            self._fetch.timing.seconds + self._give.timing.seconds,
            self._fetch.timing.sent + self._give.timing.sent,
        )

    def close(self) -> None:
        """Give MPI's requests back."""
        self._fetch.free()
        self._give.free()
