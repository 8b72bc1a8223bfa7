"""A run of a case from start to end: steps, checkpoints, progress, watch for divergence, outputs."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from mpi4py import MPI

from workload.checkpoint import Block, CheckpointError, Checkpoints
from workload.contract import SAYS
from workload.kernels.flow import output
from workload.kernels.flow.case import Case
from workload.kernels.flow.solver import STEPS_AT_ONCE, Flow
from workload.kernels.flow.startup import Target
from workload.kernels.flow.stencil import Q
from workload.kernels.flow.summary import Forces, centerlines
from workload.progress import Progress

LOOK: Final = 100  # steps between two looks for divergence
SHORT_S: Final = 0.1  # of steps at once, between two reports of progress
DIVERGED: Final = 1
FORCE_SAMPLES: Final = 50  # of drag and lift in the time in which the flow passes the obstacle once


class GpuMissingError(RuntimeError):
    """`--device gpu` where there is none."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a case is run."""

    steps: int
    output: Path
    target: Target
    dtype: str = "float64"
    device: str = "cpu"
    frames: int = 0
    checkpoint: str | None = None
    every: str = "auto"
    compile_only: bool = False


def run(case: Case, options: Options, comm: MPI.Intracomm, *, began: float) -> int:
    """Run a case and write what it leaves; the exit code. Collective over `comm`.

    began: time.perf_counter() when the program did, for the time of the first step.
    """
    flow = Flow(case, comm, dtype=options.dtype, kernel=_kernel(options.device, comm))
    try:
        _compile(flow, options, comm)
        if options.compile_only:
            return 0
        with _checkpoints(case, options, comm) as checkpoints:
            code = _Run(flow, options, checkpoints, began).go()
        # Rank 0 still drew pictures while the others were done. Debian's MPICH 4.0.2 (UCX) never ends where one rank is
        # in MPI_Finalize some seconds before another.
        comm.Barrier()
        return code
    finally:
        flow.close()


def _kernel(device: str, comm: MPI.Intracomm) -> Any:
    if device == "cpu":
        from workload.kernels.flow.cpu import Cpu  # noqa: PLC0415 - a GPU run needs no numba

        return Cpu
    from workload.kernels.flow.gpu import Device, Gpu, missing  # noqa: PLC0415 - a CPU run needs no CuPy

    if reason := next((reason for reason in comm.allgather(missing()) if reason), None):
        raise GpuMissingError(f"--device gpu: {reason}; take --device cpu, or submit to a GPU pool")
    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    rank = local.rank
    local.Free()
    return partial(Gpu, device=Device(rank, os.environ))


def _compile(flow: Flow, options: Options, comm: MPI.Intracomm) -> None:
    """One rank of each node compiles, if nobody did before, while the others wait; else all load. Collective."""
    began = time.perf_counter()
    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    there = bool(local.bcast(options.target.has(options.dtype)))
    hit = there
    if there or local.rank == 0:
        hit = flow.kernel.compile()
        options.target.keep(options.dtype)
    local.Barrier()
    if not there and local.rank:
        flow.kernel.compile()
    local.Free()
    if comm.rank == 0:
        found = "hit" if hit else "miss, compiled"
        where = f"{options.target.name} in {options.target.cache}"
        print(f"{SAYS}compiled code: {found} ({where}), {time.perf_counter() - began:.2f} s", flush=True)


@contextmanager
def _checkpoints(case: Case, options: Options, comm: MPI.Intracomm) -> Iterator[Checkpoints | None]:
    if options.checkpoint is None:
        yield None
        return
    about = {
        "case": case.name,
        "grid": list(case.grid),
        "viscosity": case.viscosity,
        "velocity": case.velocity,
        "magic": case.magic,
        "force": list(case.force),
        "dtype": options.dtype,
    }
    with Checkpoints.open(options.checkpoint, comm, every=options.every, case=about) as checkpoints:
        yield checkpoints


class _Run:
    """The state of one run, on every rank."""

    def __init__(self, flow: Flow, options: Options, checkpoints: Checkpoints | None, began: float) -> None:
        self.flow = flow
        self.options = options
        self.checkpoints = checkpoints
        self.began = began
        self.forces = Forces(case=flow.case)
        self.frames: list[Any] = []

    def go(self) -> int:
        """Steps, then outputs; the exit code."""
        flow, options, comm = self.flow, self.options, self.flow.comm
        mass, fluid = flow.mass_excess(), flow.fluid_cells()
        start, first = self._restore(), 0.0
        progress = Progress(options.steps, rank=comm.rank)
        seconds, step, at_once = 0.0, start, STEPS_AT_ONCE
        while step < options.steps:
            stop = self._next_stop(step, at_once)
            tick = time.perf_counter()
            flow.advance(stop - step)
            took = time.perf_counter() - tick
            seconds += took
            if step == start:
                first = time.perf_counter() - self.began
                at_once = self._pace(took / (stop - step))
            step = stop
            self._sample(step)
            if (step % LOOK == 0 or step == options.steps) and (bad := flow.bad_cell()) is not None:
                return self._diverged(step, bad)
            progress.step(step)
            if self.checkpoints is not None and step < options.steps:
                self.checkpoints.after(step, self._blocks, notes=self.forces.notes())
        if self.checkpoints is not None:
            self.checkpoints.finish(step, self._blocks(), notes=self.forces.notes())
        self._leave(step - start, seconds, first, mass, fluid)
        return 0

    def _blocks(self) -> dict[str, Block]:
        """The state, as checkpoints take it."""
        nx, ny, nz = self.flow.case.grid
        x, y, z = self.flow.part.block.start
        return {"populations": Block(data=self.flow.state(), shape=(nz, ny, Q, nx), offset=(z, y, 0, x))}

    def _restore(self) -> int:
        if self.checkpoints is None:
            return 0
        blocks = self._blocks()
        start = self.checkpoints.restore(blocks)
        if start.step > self.options.steps:
            raise CheckpointError(
                f"{self.options.checkpoint} is at step {start.step}, beyond --steps {self.options.steps}: "
                "give at least as many steps, or another place"
            )
        self.flow.take_state(blocks["populations"].data)
        self.forces.restore(start.notes)
        return start.step

    def _pace(self, seconds_a_step: float) -> int:
        """Steps at once that take about SHORT_S, the same on all ranks. Collective."""
        slowest = float(self.flow.comm.allreduce(seconds_a_step, MPI.MAX))
        return max(STEPS_AT_ONCE, min(LOOK, int(SHORT_S / max(slowest, 1e-9)) // STEPS_AT_ONCE * STEPS_AT_ONCE))

    def _next_stop(self, step: int, at_once: int) -> int:
        """Where to stop next: after `at_once` steps, or before, where something is due."""
        periods = [LOOK]
        if self.flow.case.obstacle is not None:
            periods.append(self.forces.period)
        if self.options.frames:
            periods.append(self._frame_period())
        if self.checkpoints is not None and self.options.every.isdecimal():
            periods.append(int(self.options.every))
        return min(step + at_once, self.options.steps, *(step - step % period + period for period in periods))

    def _frame_period(self) -> int:
        return max(STEPS_AT_ONCE, self.options.steps // self.options.frames // STEPS_AT_ONCE * STEPS_AT_ONCE)

    def _sample(self, step: int) -> None:
        """Force on the obstacle and a frame of the animation, where due. Collective."""
        if self.flow.case.obstacle is not None and step % self.forces.period == 0:
            self.forces.add(step, self.flow.force_on_obstacle())
        if self.options.frames and step % self._frame_period() == 0:
            section = output.middle(self.flow)
            if section is not None:
                self.frames.append(output.speed(section).astype(np.float32))

    def _diverged(self, step: int, cell: tuple[int, int, int]) -> int:
        if self.flow.comm.rank == 0:
            case = self.flow.case
            print(
                f"{SAYS}the flow diverged: at step {step} the density at cell {cell} (x, y, z) is no "
                f"number or far from 1. Relaxation time {case.relaxation_time:.6g}, Mach number {case.mach:.3g}: "
                "take more cells, a lower Reynolds number or a lower velocity",
                flush=True,
            )
        self.flow.comm.Barrier()
        return DIVERGED

    def _leave(self, steps: int, seconds: float, first: float, mass: float, fluid: int) -> None:
        """Write the outputs. Collective."""
        flow, case, comm = self.flow, self.flow.case, self.flow.comm
        drift = (flow.mass_excess() - mass) / fluid
        halo, sent = flow.halo
        slowest, halo, sent = comm.allreduce(seconds, MPI.MAX), comm.allreduce(halo, MPI.MAX), comm.allreduce(sent)
        memory = flow.memory()
        nx, ny, nz = case.grid
        summary = {
            "case": case.name,
            "grid": [nx, ny, nz],
            "reynolds": case.reynolds,
            "steps": self.options.steps,
            "ranks": comm.size,
            "blocks": list(flow.part.decomposition.parts),
            "dtype": flow.dtype.name,
            "device": self.options.device,
            "relaxation_time": case.relaxation_time,
            "mach": case.mach,
            "mlups": nx * ny * nz * steps / slowest / 1e6 if steps else 0.0,
            "seconds": slowest,
            "first_step_seconds": first,
            "halo_seconds": halo,
            "halo_bytes": sent,
            "bytes_per_cell": memory / (nx * ny * nz),
            "memory_over_populations": memory / (nx * ny * nz * Q * flow.dtype.itemsize),
            "mass_drift": drift,
            **self.forces.summary(),
            **centerlines(flow),
        }
        folder = self.options.output
        if comm.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
        output.write_zarr(flow, folder / "fields.zarr", step=self.options.steps)
        section = output.middle(flow)
        if section is None:
            return
        title = f"{case.name}, Re {case.reynolds:g}, step {self.options.steps}"
        look: dict[str, Any] = {"solid": output.middle_solid(case), "title": title}
        output.draw(output.speed(section), folder / "speed.png", label="speed (cells a step)", **look)
        output.draw(
            output.vorticity(section), folder / "vorticity.png", label="vorticity (1/step)", symmetric=True, **look
        )
        if self.frames:
            output.animate(self.frames, folder / "speed.gif")
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        print(
            f"{SAYS}{title}: {summary['mlups']:.1f} MLUPS on {comm.size} rank{'s' * (comm.size > 1)}; "
            f"halo {halo:.2f} s of {slowest:.2f} s; {folder}/",
            flush=True,
        )
