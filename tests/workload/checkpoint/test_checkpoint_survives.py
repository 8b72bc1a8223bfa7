"""What a run survives: the result after a restart is bitwise that of a run that nothing happened to."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workload.vault import inventory
from workload.vault.store import Store, open_store

Steps = Callable[..., Any]
STEPPER = Path(__file__).with_name("stepper.py")
STAGES = ["begin", "folder", "own blocks", "all blocks", "before manifest", "manifest", "committed", "pruning"]
BEFORE_COMMIT = STAGES[: STAGES.index("manifest")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_at_any_stage_of_a_save_goes_on_as_if_nothing_had_happened(
    steps: Steps, uninterrupted: Callable[[int], str], target: str, store: Store, stage: str
) -> None:
    # Ranks before and after. Those of S3 are fewer: each imports boto3, half a second of a core.
    few, others = ({"own blocks": (3, 1)}, (2, 1)) if target.startswith("s3:") else ({"own blocks": (4, 1)}, (2, 3))
    before, after = few.get(stage, others)
    # Once it has all blocks, rank 0 alone decides; every other stage may hit any rank.
    mortal = 0 if stage in {"all blocks", "before manifest", "manifest"} else before - 1
    killed = steps(before, target, 10, "--every", "3", "--die-at", f"{mortal}:2:{stage}")
    assert killed.code != 0
    left = inventory.survey(store)
    assert [f.step for f in left if f.good] == ([3] if stage in BEFORE_COMMIT else [6, 3])

    again = steps(after, target, 10, "--every", "3")

    # Who is killed after the commit restarts from it, who is killed before it from the one before.
    assert again.result["start"] == (3 if stage in BEFORE_COMMIT else 6)
    assert again.result["notes"] == {"half": again.result["start"] / 2}
    assert again.result["digest"] == uninterrupted(10)
    assert all(f.good for f in inventory.survey(store)), "what the killed save left is gone"


def test_a_run_killed_in_the_middle_of_a_block_goes_on_as_if_nothing_had_happened(
    steps: Steps, uninterrupted: Callable[[int], str], tmp_path: Path
) -> None:
    target = tmp_path / "checkpoints"
    killed = steps(2, target, 12, "--most-bytes", "1000", "--most-from-step", "5", "--or-die")
    assert killed.code != 0
    assert 1000 in [path.stat().st_size for path in target.glob("step-000000000008-*/*")], "half a block lies there"
    again = steps(3, target, 12)
    assert again.result["start"] == 4
    assert again.result["digest"] == uninterrupted(12)


def test_a_rank_killed_in_the_middle_of_an_upload_leaves_nothing_to_believe_and_the_run_goes_on(
    mpirun: object, steps: Steps, s3: Any, proxy: Any, gate: Any, tmp_path: Path
) -> None:
    """A real SIGKILL while bytes of a block are under way: S3 has half of them, the kernel and the process the rest."""
    target, large = "s3://bucket/cut", ("--cells", "8000000")  # 16 MB a rank: more than sockets hold
    proxy.gate = gate(r"step-000000000008-.*cells\.r00001")
    command = ["mpiexec", "-n", "2", sys.executable, "-m", "mpi4py", str(STEPPER), target, "12", *large, "--say-pids"]
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
    }
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        pids = next(line for line in run.stderr if line.startswith("pids")).split()[1:]
        assert proxy.gate.reached.wait(60), "rank 1 uploads its block"
        os.kill(int(pids[1]), signal.SIGKILL)
        run.communicate(timeout=60)
    assert run.returncode != 0
    proxy.gate.opened.set()
    assert proxy.gate.ended.wait(60)
    assert proxy.gate.length // 2 <= proxy.gate.came < proxy.gate.length, "the upload was cut inside its body"
    store = open_store(target)
    assert [(f.step, f.good) for f in inventory.survey(store) if f.committed] == [(4, True)]

    again = steps(3, target, 12, *large)

    assert again.result["start"] == 4
    assert again.result["digest"] == steps(1, tmp_path, 12, *large).result["digest"], "bitwise the uninterrupted result"
    assert [(f.step, f.good) for f in inventory.survey(store)] == [(12, True), (8, True)]


def test_a_run_killed_at_a_random_step_goes_on_as_if_nothing_had_happened(
    steps: Steps, uninterrupted: Callable[[int], str], target: str
) -> None:
    step, rank = random.randint(2, 30), random.randint(0, 2)
    assert steps(3, target, 30, "--die-at", f"{rank}:{step}").code != 0
    again = steps(random.choice([1, 2, 4]), target, 30)
    assert again.result["start"] == (step - 1) // 4 * 4, f"killed at step {step}"
    assert again.result["digest"] == uninterrupted(30)


def _flip(data: bytes) -> bytes:
    position = random.randrange(len(data))
    return data[:position] + bytes([data[position] ^ 1 << random.randrange(8)]) + data[position + 1 :]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda data: data[: len(data) // 2], "it should have", id="truncated"),
        pytest.param(_flip, "was changed", id="flipped by a bit"),
        pytest.param(lambda _: None, "is not there", id="deleted"),
    ],
)
def test_a_damaged_block_is_named_and_the_checkpoint_before_it_used(
    steps: Steps,
    uninterrupted: Callable[[int], str],
    target: str,
    store: Store,
    damage: Callable[..., None],
    change: Callable[[bytes], bytes | None],
    says: str,
) -> None:
    assert steps(2, target, 8).code == 0
    newest = inventory.survey(store)[0]
    assert newest.manifest is not None
    key = random.choice(newest.manifest.keys())
    damage(key, change)

    again = steps(3, target, 16)

    assert again.result["start"] == 4
    assert again.result["digest"] == uninterrupted(16)
    assert any(key in line and says in line for line in again.out.splitlines())
    assert [(f.step, f.good) for f in inventory.survey(store)] == [(16, True), (12, True)]


def test_a_manifest_half_written_is_not_believed(
    steps: Steps, target: str, store: Store, damage: Callable[..., None]
) -> None:
    assert steps(1, target, 8).code == 0
    damage(f"{inventory.survey(store)[0].folder}/manifest.json", lambda data: data[: len(data) // 2])
    again = steps(2, target, 9)
    assert again.result["start"] == 4
    assert "the manifest cannot be read" in again.out


def test_when_no_checkpoint_is_good_the_run_does_not_start_over_in_silence(steps: Steps, tmp_path: Path) -> None:
    target = tmp_path / "checkpoints"
    store = open_store(str(target))
    assert steps(2, target, 8).code == 0
    for found in inventory.survey(store):
        assert found.manifest is not None
        (target / found.manifest.keys()[0]).unlink()
    again = steps(2, target, 12)
    assert again.code == 3
    assert "none of the 2 checkpoints" in again.err
    assert len(inventory.survey(store)) == 2, "nothing is removed that somebody may want to look at"


def test_a_disk_that_is_too_small_for_a_third_checkpoint_fails_that_save_and_not_the_run(
    mpirun: Callable[..., Any], uninterrupted: Callable[[int], str], tmp_path: Path
) -> None:
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode:
        message = "no mount namespace for a small disk: needs root, or a user namespace"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    # Eleven pages: two checkpoints of four files, a page each, the lock, and half a third; gone with its namespace.
    script = 'mount -t tmpfs -o size=44k none "$1" && "$2" -m mpi4py "$3" "$1/run" 12 && ls "$1/run"'
    command = ["sh", "-c", script, "sh", tmp_path, sys.executable, STEPPER]
    run = mpirun(1, *own_mounts, *command)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "could not save step 12: rank 0: cannot write" in run.stdout
    assert "No space left on device" in run.stdout
    assert uninterrupted(12) in run.stdout
    kept = [line[:17] for line in run.stdout.splitlines() if line.startswith("step-")]
    assert kept == ["step-000000000004", "step-000000000008"]


def test_a_full_disk_fails_the_save_and_not_the_run(
    steps: Steps, uninterrupted: Callable[[int], str], tmp_path: Path
) -> None:
    # From step 5 on no file may grow beyond 1 kB: the save of step 8 meets that in the middle of a block.
    target = tmp_path / "checkpoints"
    run = steps(2, target, 14, "--most-bytes", "1000", "--most-from-step", "5", "--finish")
    assert run.result["digest"] == uninterrupted(14)
    for step in (8, 12, 14):
        assert f"could not save step {step}: rank 0: cannot write {target}" in run.out
    assert "File too large" in run.out
    assert [path.name[:17] for path in target.iterdir()] == ["step-000000000004"], "half a checkpoint is not left lying"
    assert steps(1, target, 12).result == {"start": 4, "notes": {"half": 2.0}, "digest": uninterrupted(12)}
