"""What goes along with a job: code, a compiler, schedules and notices, against the twin."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tutti.stubbed import Stubbed
from tutti import Cluster, Job
from tutti.errors import InputError, TuttiError
from tutti.jobfile import JobFile
from tutti.listing import list_jobs
from tutti.run import Run
from tutti.schedule import as_input
from tutti.submission import Extras, Prepared, calls, prepare, send
from tutti.upload import bundle

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "lib").mkdir(parents=True)
    (folder / "run.sh").write_text("#!/bin/sh\necho here $(cat lib/word)\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "lib" / "word").write_text("hello")
    (folder / "big.bin").write_text("not code")
    (folder / ".tuttiignore").write_text("*.bin\n")
    return folder


def said(run: Run) -> set[str]:
    return {line.line.text for line in run.logs() if line.line.rank is not None}


def test_code_travels_and_runs_where_it_lies(tutti: Tutti, cluster: Cluster, code: Path) -> None:
    told = tutti("submit", "--upload", str(code), "--nodes", "2", "--wait", "--", "./run.sh")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "[1:1] here hello" in told.stdout
    pages = cluster.s3.list_objects_v2(Bucket=cluster.card.bucket, Prefix=f"{cluster.card.prefix}code/")
    keys = [o["Key"].rpartition("/")[2] for o in pages["Contents"]]
    assert "big.bin" not in keys
    assert keys.count("run.sh") == 1
    again = tutti(
        "submit", "--upload", str(code), "--nodes", "1", "--", "true"
    )  # the same content: nothing is sent again
    assert again.returncode == 0
    Run(again.stdout.strip(), cluster).cancel()


def test_code_is_compiled_once_before_the_gang(tutti: Tutti, cluster: Cluster, code: Path) -> None:
    told = tutti(
        *("submit", "--upload", str(code), "--compile", "echo '#!/bin/sh\necho made' > made; chmod +x made"),
        *("--nodes", "2", "--wait", "--", "./made"),
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert {"[0:0] made", "[1:1] made"} <= set(told.stdout.splitlines())


def test_python_brings_along_what_flags_bring(cluster: Cluster, code: Path) -> None:
    more: dict[str, Any] = {
        "upload": str(code),
        "compile": "echo '#!/bin/sh\necho made' > made; chmod +x made",
        "max_cost": 50,
    }
    run = Job(command=["./made"], nodes=1, **more).submit(cluster)
    run.result()
    assert "made" in said(run)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"every": "6h"},
            "every: a schedule has no run that submit could give. tutti submit --at TIME or --every PERIOD",
        ),
        ({"dry_run": True}, "dry_run: says how `tutti submit` answers"),
        ({"wait": True, "json": True}, "json: says how `tutti submit` answers"),
        ({"max_cost": "0.0001"}, "max_cost: may cost $"),
        ({"compile": "make"}, "compile: there is nothing to compile"),
        ({"notify": "nobody"}, "notify: got 'nobody'; allowed: a mail address"),
    ],
)
def test_python_drops_nothing_silently(cluster: Cluster, keys: dict[str, Any], words: str) -> None:
    job = JobFile(command=["true"], nodes=1, name="dropped", **keys)
    with pytest.raises(InputError, match=re.escape(words)):
        job.submit(cluster)
    assert "dropped" not in {found.name for found in list_jobs(cluster)}


def test_what_the_cluster_lacks_is_told_at_once_before_a_wait_an_upload_or_a_job(code: Path) -> None:
    nothing_answers: Any = Stubbed()
    more = Extras(bundle=bundle(code), compile="make", schedule=("rate(1 day)", "UTC"), notify="me@example.org")
    prepared = Prepared(document={"jobName": "x"}, wait_for=("some-job",))
    for act in (lambda: send(prepared, nothing_answers, more=more), lambda: calls(prepared, nothing_answers, more)):
        with pytest.raises(InputError) as told:
            act()
        assert "no topic for notices" in str(told.value)
        assert "no role for schedules" in str(told.value)


def test_what_goes_along_is_refused_where_only_the_job_is_asked_for(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="upload: upload goes along with a submission"):
        prepare(Job(command=["true"], upload="."), cluster)


def test_a_failed_compiler_fails_the_job_before_a_node_is_paid(tutti: Tutti, code: Path) -> None:
    told = tutti("submit", "--upload", str(code), "--compile", "exit 3", "--nodes", "2", "--wait", "--", "./made")
    assert told.returncode == 1
    assert "FAILED" in told.stderr
    assert "RUNNING" not in told.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--upload", "nowhere"], "--upload: nowhere is neither a folder nor a file"),
        (["--compile", "make"], "--compile: there is nothing to compile. Bring it: --upload DIR"),
        (["--at", "2020-01-01T00:00"], "which has passed"),
        (["--every", "often"], "allowed: 30m, 6h, 1d, or cron("),
        (["--every", "6h", "--wait"], "a schedule submits later"),
        (
            ["--every", "6h", "--upload", ".", "--compile", "make"],
            "--compile: a schedule would start after one compile",
        ),
        (["--at", "+2h", "--upload", ".", "--compile", "make"], "Submit once with --compile; then schedule with"),
        (["--notify", "nobody"], "got 'nobody'; allowed: a mail address"),
    ],
)
def test_wrong_extras_are_refused_before_anything_is_sent(tutti: Tutti, flags: list[str], words: str) -> None:
    told = tutti("submit", "--nodes", "1", *flags, "--", "true")
    assert told.returncode == 2
    assert words in told.stderr


def test_a_schedule_calls_submitjob_with_the_same_request(card: object) -> None:
    request = {
        "jobName": "x",
        "tags": {"tutti:user": "me"},
        "nodeOverrides": {"numNodes": 2, "nodePropertyOverrides": [{"targetNodes": "0:"}]},
    }
    assert as_input(request) == {
        "JobName": "x",
        "Tags": {"tutti:user": "me"},
        "NodeOverrides": {"NumNodes": 2, "NodePropertyOverrides": [{"TargetNodes": "0:"}]},
    }


def test_uploads_differ_by_content_path_and_executable_bit(code: Path) -> None:
    from tutti.upload import bundle

    first = bundle(code).digest
    assert bundle(code).digest == first
    (code / "run.sh").chmod(0o644)
    assert bundle(code).digest != first
    (code / "run.sh").chmod(0o755)
    (code / "lib" / "word").rename(code / "lib" / "other")
    assert bundle(code).digest != first


def test_single_files_travel_beside_folders_and_two_of_one_name_do_not(code: Path, tmp_path: Path) -> None:
    (tmp_path / "mesh.dat").write_text("1 2 3")
    (tmp_path / "run.sh").write_text("another")
    assert list(bundle(code, tmp_path / "mesh.dat").files) == ["lib/word", "mesh.dat", "run.sh"]
    with pytest.raises(InputError, match="would both be run"):
        bundle(code, tmp_path / "run.sh")


def test_what_awsbsub_brought_along_has_its_equal(
    tutti: Tutti, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-cf`, `-if`, `-e all`, `-eb` and `-pw`: a script with its file, the caller's variables, a folder named by the job."""
    (tmp_path / "job.sh").write_text(
        'echo "$(cat "$TUTTI_JOB_FOLDER/input/mesh.dat") $MODEL_OF_MINE ${LEFT_OF_MINE:-none}"; pwd\n'
    )
    (tmp_path / "mesh.dat").write_text("mesh")
    monkeypatch.setenv("MODEL_OF_MINE", "big")
    monkeypatch.setenv("LEFT_OF_MINE", "yes")
    told = tutti(
        *(
            "submit",
            "--upload",
            str(tmp_path / "job.sh"),
            "--upload",
            str(tmp_path / "mesh.dat"),
            "--wait",
            "--nodes",
            "1",
        ),
        *("--env", "*_OF_MINE", "--env-except", "LEFT_*", "--workdir", "shared:runs/job-%j"),
        *("--", "sh", "-c", 'bash "$TUTTI_JOB_FOLDER/input/job.sh"'),
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "[0:0] mesh big none" in told.stdout
    job_id = re.search(r"submitted (\S+)", told.stderr)
    assert job_id is not None
    assert f"/runs/job-{job_id[1]}\n" in told.stdout


def test_a_job_is_usable_in_a_notebook(cluster: Cluster) -> None:
    run = Job(command=["true"], nodes=1).submit(cluster)
    run.result()
    html = run._repr_html_()
    assert run.id in html
    assert "SUCCEEDED" in html
    assert "twin-mpi-high" in cluster._repr_html_()


def test_a_notebook_s_output_is_drawn_again_with_the_job_s_progress(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    handle = SimpleNamespace(update=drawn.append)
    display = SimpleNamespace(HTML=str, display=lambda _, display_id: handle if display_id else None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    command = ["python", "-m", "mpi4py", "-m", "workload", "run", "ring", "--laps", "2"]
    done = Job(command=command, nodes=2, ranks_per_node=1).submit(cluster).watch()
    assert done.state == "SUCCEEDED"
    assert "SUCCEEDED" in drawn[-1]
    assert '<progress value="2.0" max="2.0"></progress> step 2 of 2' in drawn[-1]
    assert any("RUNNING" in frame for frame in drawn)


def test_watching_outside_a_notebook_is_refused_with_what_to_use(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(TuttiError, match=r"no notebook here .* use wait\(\)"):
        Run("any", cluster).watch()
