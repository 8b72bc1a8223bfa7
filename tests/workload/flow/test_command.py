"""`run flow` as a user runs it, under mpiexec."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from matplotlib.image import imread

from workload.contract import ExitCode

WorkloadRun = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_cavity_leaves_numbers_fields_and_pictures(workload_run: WorkloadRun, tmp_path: Path) -> None:
    options = (
        "--case",
        "cavity",
        "--grid",
        "33x33x4",
        "--steps",
        "400",
        "--animate",
        "4",
        "--output",
        tmp_path / "out",
    )
    done = workload_run(2, "flow", *options)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["case"], summary["steps"], summary["ranks"], summary["reynolds"]) == ("cavity", 400, 2, 100)
    assert summary["mlups"] > 0
    assert summary["bytes_per_cell"] > 19 * 8
    assert abs(summary["mass_drift"]) < 1e-13
    assert summary["u_centerline"][0] == [0.0, 0.0]
    assert summary["u_centerline"][-1] == [1.0, 1.0]
    assert len(summary["v_centerline"]) == 35
    with xarray.open_zarr(tmp_path / "out/fields.zarr") as fields:
        assert dict(fields.sizes) == {"z": 4, "y": 33, "x": 33}
        assert fields.u.dims == ("z", "y", "x")
        assert fields.u.attrs["units"] == "cells/step"
        assert fields.x.attrs["units"] == "cells"
        assert float(fields.x[0]) == 0.5
        assert fields.attrs["step"] == 400
        line = fields.u.values[2, :, 16] / 0.05
        assert line == pytest.approx([v for _, v in summary["u_centerline"][1:-1]], abs=1e-15)
        assert 0.5 < line[-1] < 1
    for name in ("speed.png", "vorticity.png"):
        assert imread(tmp_path / "out" / name).shape[0] > 300
    assert (tmp_path / "out/speed.gif").read_bytes()[:4] == b"GIF8"
    assert "compiled code: " in done.stdout


def test_code_that_was_compiled_once_is_a_hit(workload_run: WorkloadRun, tmp_path: Path) -> None:
    environ = {"TUTTI_KERNEL_CACHE": str(tmp_path)}
    options = ("flow", "--grid", "8x8x1", "--steps", "2", "--dtype", "float32", "--output", tmp_path / "out")
    assert "compiled code: miss, compiled" in workload_run(2, *options, env=environ).stdout
    assert "compiled code: hit" in workload_run(1, *options, env=environ).stdout


def test_a_run_that_diverges_stops_within_100_steps_with_step_and_place(
    workload_run: WorkloadRun, tmp_path: Path
) -> None:
    (tmp_path / "wild.yaml").write_text(
        "grid: 24x24x1\nreynolds: 20000\nvelocity: 0.28\nlength: 48\n"
        "sides: {x: [wall, wall], y: [wall, {wall: [0.28, 0, 0]}]}\ncollision: bgk\n"
    )
    options = ("--case", tmp_path / "wild.yaml", "--steps", "20000", "--output", tmp_path / "out")
    done = workload_run(2, "flow", *options)
    assert done.returncode == 1
    assert "the flow diverged: at step" in done.stdout
    assert int(done.stdout.split("at step ")[1].split()[0]) % 100 == 0
    assert "at cell (" in done.stdout
    assert "relaxation time 0.502" in done.stderr
    assert "Mach number 0.485" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reynolds", "1e6"), "relaxation time 0.500019 is too near 1/2 (least 0.5005)"),
        (("--velocity", "0.4"), "Mach number 0.693 is above 0.5"),
        (("--steps", "0", "--reynolds", "-1"), "--steps: got 0; allowed: a number from 1"),
        (("--case", "cavty"), "--case: got 'cavty'; allowed: cavity, channel, taylor-green, cylinder"),
        (("--case", "none.yaml"), "none.yaml: 1 problem"),
        (("--grid", "2x2x1"), "5 ranks cannot share a grid of 2x2x1 cells"),
        (("--compile", "pentium"), "--compile: got 'pentium'; allowed: x86-64-v4"),
    ],
)
def test_what_cannot_run_is_refused_once_with_the_number(
    workload_run: WorkloadRun, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    done = workload_run(5 if "2x2x1" in options else 1, "flow", *options, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.count(told) == 1
    assert not (tmp_path / "out").exists()


def flow_command(ranks: int, *options: str | Path) -> list[str]:
    mpiexec = Path(sys.executable).with_name("mpiexec")
    program = (sys.executable, "-m", "mpi4py", "-m", "workload", "run", "flow")
    return [str(part) for part in (mpiexec, "-n", ranks, *program, *options)]


def fields_of(folder: Path) -> dict[str, Any]:
    with xarray.open_zarr(folder / "fields.zarr") as fields:
        return {name: fields[name].values for name in ("density", "u", "v", "w")}


OPTIONS = ("--case", "cylinder", "--grid", "66x21x3", "--reynolds", "40")


@pytest.mark.parametrize(("before", "after"), [(2, 3), (4, 1)])
def test_a_run_that_was_killed_goes_on_to_the_same_bits_on_other_ranks(
    workload_run: WorkloadRun, tmp_path: Path, before: int, after: int
) -> None:
    whole = workload_run(1, "flow", *OPTIONS, "--steps", "3001", "--output", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    kept = ("--steps", "3001", "--output", tmp_path / "out", "--checkpoint", tmp_path / "kept", "--every")
    first = flow_command(before, *OPTIONS, *kept, "21")
    job = {"AWS_BATCH_JOB_ID": "job-1", "AWS_BATCH_JOB_ATTEMPT": "1"}
    with subprocess.Popen(
        first, stdout=subprocess.PIPE, text=True, env={**os.environ, **job}, process_group=0
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "saved step 63" in line:
                break
        os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode != 0
    assert not (tmp_path / "out").exists()
    retry = {"AWS_BATCH_JOB_ID": "job-1", "AWS_BATCH_JOB_ATTEMPT": "2"}
    done = workload_run(after, "flow", *OPTIONS, *kept, "1000", env=retry)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stdout
    short = workload_run(1, "flow", *OPTIONS, *kept[2:], "auto", "--steps", "40", env=retry)
    assert short.returncode == 1
    assert "is at step 3001, beyond --steps 40" in short.stderr
    for name, values in fields_of(tmp_path / "whole").items():
        np.testing.assert_array_equal(values, fields_of(tmp_path / "out")[name], err_msg=name)
    numbers = [json.loads((tmp_path / folder / "summary.json").read_text()) for folder in ("whole", "out")]
    assert numbers[0]["drag_max"] == pytest.approx(numbers[1]["drag_max"], rel=1e-9)


def test_checkpoints_that_cannot_be_used_are_refused_in_words(workload_run: WorkloadRun, tmp_path: Path) -> None:
    options = ("--grid", "8x8x1", "--steps", "4", "--output", tmp_path / "out", "--checkpoint", tmp_path / "kept")
    done = workload_run(2, "flow", *options, "--every", "often")
    assert done.returncode == 1
    assert done.stderr.count("checkpoint: ") == 1
    assert "often" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_saves_and_leaves_with_its_code(tmp_path: Path, workload_run: WorkloadRun) -> None:
    kept = ("--checkpoint", tmp_path / "kept", "--every", "1000000")
    with subprocess.Popen(
        flow_command(2, *OPTIONS, "--steps", "100000000", "--output", tmp_path / "out", *kept),
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "compiled code" in line:
                break
        deadline = time.monotonic() + 60
        while not any((tmp_path / "kept").rglob("*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        said = running.stdout.read()
    assert running.returncode == ExitCode.GOING_AWAY, said
    assert "saved step" in said
