"""`tutti data`, as a user meets it, against the running twin: the bucket, and the shared folder through small jobs."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any
from uuid import uuid4

import pytest

from tests.tutti.cli.terminal import Terminal
from tests.tutti.conftest import clean_environ
from tutti import Cluster
from tutti.data import bucket, shared
from tutti.data.bucket import Object
from tutti.data.crew import ChangedError, each
from tutti.data.files import nothing
from tutti.data.onnode import half_name
from tutti.jobs import ERRAND
from tutti.listing import list_jobs
from tutti.run import Run
from workload.contract import PASSING

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
# moto's S3 knows no key with a line feed in it; S3 itself does
IN_KEYS = ("-rf", "a\ttab", "größe ✓", "a b", "deep/er/file", "'q\"<&>")
ODD = ("-rf", "two\nlines", "größe ✓", "a b", "deep/er/file", "'q\"<&>")


def filled(folder: Path, names: tuple[str, ...] = ODD) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"of {name}")
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return folder


def texts(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def counts(told: subprocess.CompletedProcess[str]) -> tuple[int, int, int]:
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    return answer["sent"], answer["removed"], answer["same"]


def keys(cluster: Cluster, prefix: str) -> list[str]:
    head = f"{cluster.card.prefix}{prefix}"
    return [o["Key"].removeprefix(head) for o in bucket.objects(cluster, cluster.card.bucket, head)]


def test_data_go_there_and_back(tutti: Tutti, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.sh").write_text("bb")
    (folder / "deep" / "b.sh").chmod(0o755)
    assert tutti("data", "put", str(folder), "input/").stdout.startswith("2 files -> s3://")
    names = {e["name"]: e["size"] for e in json.loads(tutti("data", "ls", "input/set", "--json").stdout)}
    assert names == {"a.txt": 1, "deep/": None}
    assert tutti("data", "get", "input/set", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back" / "deep" / "b.sh").read_text() == "bb"
    assert os.access(tmp_path / "back" / "deep" / "b.sh", os.X_OK)
    refused = tutti("data", "rm", "input/set")
    assert (refused.returncode, "Say --recursive" in refused.stderr) == (2, True)
    assert tutti("data", "rm", "-r", "input/set").stdout == "2 removed\n"
    assert tutti("data", "get", "input/set", str(tmp_path / "none")).returncode == 3


def test_a_bucket_s_folder_and_one_here_are_made_alike_both_ways(
    tutti: Tutti, cluster: Cluster, tmp_path: Path
) -> None:
    name = f"sync/{uuid4().hex}"
    place = f"s3://{cluster.card.bucket}/{cluster.card.prefix}{name}"
    here, back = filled(tmp_path / "here", IN_KEYS), tmp_path / "back"
    assert counts(tutti("data", "sync", str(here), name, "--json")) == (len(IN_KEYS), 0, 0)
    assert counts(tutti("data", "sync", str(here), name, "--json")) == (0, 0, len(IN_KEYS))
    assert sorted(keys(cluster, f"{name}/")) == sorted(IN_KEYS)
    assert counts(tutti("data", "sync", place, str(here), "--json")) == (0, 0, len(IN_KEYS)), "it came from here"
    assert counts(tutti("data", "sync", place, str(back), "--json")) == (len(IN_KEYS), 0, 0)
    assert texts(back) == texts(here)
    assert counts(tutti("data", "sync", place, str(back), "--json")) == (0, 0, len(IN_KEYS))
    (back / "a b").write_text("of a c")  # as long as it was, and newer than the object: it is not like there any more
    (back / "more").write_text("1")
    (back / half_name("a b")).write_text("what a client that was killed has left")
    plan = tutti("data", "sync", place, str(back), "--delete", "--dry-run")
    assert [line.split()[0] for line in plan.stdout.splitlines()] == ["DO", "remove", "send", "1", "nothing"]
    assert (back / "more").exists()
    assert counts(tutti("data", "sync", place, str(back), "--delete", "--json")) == (1, 1, len(IN_KEYS) - 1)
    assert texts(back) == texts(here)
    for odd in ("a\ttab", "-rf"):
        (here / odd).unlink()
    left = tutti("data", "sync", str(here), name, "--delete", "--exclude", "-rf", "--json")
    assert counts(left) == (0, 1, len(IN_KEYS) - 2)
    assert "a\ttab" not in keys(cluster, f"{name}/")
    assert "-rf" in keys(cluster, f"{name}/"), "what is excluded is left alone there too"


def test_what_lies_behind_a_link_out_of_the_folder_stays_and_is_told(
    tutti: Tutti, cluster: Cluster, tmp_path: Path
) -> None:
    name = f"sync/{uuid4().hex}"
    cluster.s3.put_object(Bucket=cluster.card.bucket, Key=f"{cluster.card.prefix}{name}/x", Body=b"1")
    here, outside = filled(tmp_path / "here", ("old",)), filled(tmp_path / "outside", ("far",))
    (here / "link").symlink_to(outside)
    told = tutti("data", "sync", f"s3://{cluster.card.bucket}/{cluster.card.prefix}{name}", str(here), "--delete")
    assert told.returncode == 1
    assert "link/far: stays, for it lies behind a link: link" in told.stderr
    assert told.stdout.startswith("1 file sent, 1 removed, 0 the same")
    assert (texts(outside), {p.name for p in here.iterdir()}) == ({"far": "of far"}, {"link", "x"})


def test_content_is_compared_where_that_is_asked_for(tutti: Tutti, tmp_path: Path) -> None:
    name, here = f"sync/{uuid4().hex}", filled(tmp_path / "here", ("one", "other"))
    tutti("data", "sync", str(here), name)
    (here / "one").write_text("of eno")
    os.utime(here / "one", (1_600_000_000, 1_600_000_000))  # older than the object: its time tells nothing
    assert counts(tutti("data", "sync", str(here), name, "--json")) == (0, 0, 2)
    assert counts(tutti("data", "sync", str(here), name, "--checksum", "--json")) == (1, 0, 1)


def test_a_pipe_is_no_file_to_put(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    told = tutti("data", "put", str(tmp_path / "pipe"), "pipes/")
    assert (told.returncode, "is neither a file nor a folder" in told.stderr) == (2, True)
    assert keys(cluster, "pipes/") == []


def test_what_does_not_travel_is_told(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    name, here = f"sync/{uuid4().hex}", filled(tmp_path / "here", ("file",))
    (here / "empty").mkdir()
    (here / "link").symlink_to("nowhere")
    (here / os.fsdecode(b"caf\xe9")).write_text("1")
    told = tutti("data", "sync", str(here), name)
    assert told.returncode == 1
    assert "empty/: empty, and only files travel" in told.stderr
    assert "link: a link that leads nowhere" in told.stderr
    assert r"'caf\udce9': its name is no UTF-8" in told.stderr
    assert told.stdout.startswith("1 file sent")
    for key in ("a", "a/b", "x/../y"):
        cluster.s3.put_object(Bucket=cluster.card.bucket, Key=f"{cluster.card.prefix}{name}-odd/{key}", Body=b"1")
    place = f"s3://{cluster.card.bucket}/{cluster.card.prefix}{name}-odd"
    told = tutti("data", "sync", place, str(tmp_path / "odd"))
    assert (told.returncode, sorted(texts(tmp_path / "odd"))) == (1, ["a/b"])
    assert "a: it would need the name of a folder, that of a/b" in told.stderr
    assert "x/../y: no file can have this name" in told.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("s3://a/b", "shared:c"), 2, "got two places"),
        (
            ("nowhere", "x"),
            3,
            "nowhere: no such folder here. To bring a folder of the bucket here, name it whole: s3://BUCKET/PREFIX/nowhere",
        ),
        (("HERE", "shared:input", "--delete"), 2, "--delete is for a folder below it"),
        (("HERE", "shared:.", "--delete"), 2, "--delete is for a folder below it"),
        (("HERE", "", "--delete"), 2, "--delete is for a folder below it"),
        (("s3://BUCKET/nothing/there", "HERE"), 3, "nothing is there"),
        (("HERE/file", "x"), 3, "no such folder here"),
        (("s3://BUCKET/x", "HERE/file"), 2, "is no folder"),
        (("EMPTY", "full", "--delete"), 2, "has no file: --delete would remove all 1 of s3://"),
        (("HERE", "../x"), 2, "leaves the group's own place"),
    ],
)
def test_a_sync_that_cannot_be_meant_is_refused_before_anything_is_changed(
    tutti: Tutti, cluster: Cluster, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    filled(tmp_path / "here", ("file",))
    (tmp_path / "empty").mkdir()
    cluster.s3.put_object(Bucket=cluster.card.bucket, Key=f"{cluster.card.prefix}full/x", Body=b"1")
    places = {"HERE": str(tmp_path / "here"), "EMPTY": str(tmp_path / "empty"), "BUCKET": cluster.card.bucket}
    for word, place in places.items():
        words = tuple(w.replace(word, place) for w in words)
    told = tutti("data", "sync", *words)
    said = said.replace("BUCKET/PREFIX/", f"{cluster.card.bucket}/{cluster.card.prefix}")
    assert (told.returncode, said in " ".join(told.stderr.split())) == (code, True), told.stderr
    assert keys(cluster, "full/") == ["x"]


class Grows(io.FileIO):
    """A file that somebody writes to while it is read."""

    def read(self, count: int | None = -1) -> bytes:
        chunk = super().read(-1 if count is None else count)
        with open(str(self.name), "ab") as other:  # noqa: PTH123  a name that FileIO has
            other.write(b"more")
        return chunk


class GrowingFile(PosixPath):
    def open(self, *_: Any, **__: Any) -> Any:
        return Grows(str(self))


@pytest.mark.parametrize("size", [10, 9 << 20])
def test_a_file_that_changes_while_it_is_read_is_told_and_never_an_object(
    cluster: Cluster, tmp_path: Path, size: int
) -> None:
    file = tmp_path / "growing"
    file.write_bytes(b"1" * size)
    target = Object(bucket=cluster.card.bucket, key=f"{cluster.card.prefix}grows/{size}")
    with pytest.raises(ChangedError, match="changed while it was read: not sent"):
        bucket.send(cluster, GrowingFile(file), target, nothing)
    assert keys(cluster, f"grows/{size}") == []
    assert not cluster.s3.list_multipart_uploads(Bucket=cluster.card.bucket).get("Uploads")


def test_an_object_that_changes_while_it_is_read_is_told_and_leaves_no_file(cluster: Cluster, tmp_path: Path) -> None:
    source = Object(bucket=cluster.card.bucket, key=f"{cluster.card.prefix}changes")
    cluster.s3.put_object(Bucket=source.bucket, Key=source.key, Body=b"1")
    [listed] = bucket.objects(cluster, source.bucket, source.key)
    cluster.s3.put_object(Bucket=source.bucket, Key=source.key, Body=b"2")
    [(_, why)] = each(
        lambda item, moved: bucket.fetch(cluster, source, item, tmp_path / "file", moved),
        [bucket.item_of(listed, "")],
        nothing,
    )
    assert "it changed while it was read" in why
    assert list(tmp_path.iterdir()) == []


def test_big_files_go_and_come_whole_in_parts(tutti: Tutti, tmp_path: Path) -> None:
    name, here = f"sync/{uuid4().hex}", tmp_path / "here"
    here.mkdir()
    (here / "big").write_bytes(os.urandom(9 << 20))
    assert counts(tutti("data", "sync", str(here), name, "--json")) == (1, 0, 0)
    assert counts(tutti("data", "sync", str(here), name, "--checksum", "--json")) == (0, 0, 1)
    assert tutti("data", "get", f"{name}/big", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == (here / "big").read_bytes()


def test_somebody_at_a_terminal_is_asked_before_files_go_and_sees_how_far_it_is(
    tutti: Tutti, twin_home: Path, tmp_path: Path
) -> None:
    name, here = f"sync/{uuid4().hex}", filled(tmp_path / "here", ("one", "other"))
    tutti("data", "sync", str(here), name)
    (here / "other").unlink()
    (here / "big").write_bytes(os.urandom(30 << 20))
    with Terminal("data", "sync", str(here), name, "--delete", environ=clean_environ(twin_home)) as terminal:
        terminal.until(r"remove 1 file of s3://.* \(other\)\? \[y/N\]")
        terminal.press("n\n")
        terminal.until(r"nothing\s+was\s+changed")
        assert terminal.process.wait(30) == 0
    with Terminal("data", "sync", str(here), name, "--delete", environ=clean_environ(twin_home)) as terminal:
        terminal.until(r"\[y/N\]")
        terminal.press("y\n")
        terminal.until(r"\[#*\.*\] +\d+%  .* of 30.0 MiB, 1 file, .*/s")
        terminal.until(r"1\s+file\s+sent,\s+1\s+removed,\s+1\s+the\s+same")
        assert terminal.process.wait(30) == 0


def test_a_sync_that_is_interrupted_goes_on_with_the_rest(
    tutti: Tutti, cluster: Cluster, twin_home: Path, tmp_path: Path
) -> None:
    name, here = f"sync/{uuid4().hex}", filled(tmp_path / "here", tuple(f"{n:03d}" for n in range(400)))
    with Terminal("data", "sync", str(here), name, environ=clean_environ(twin_home)) as terminal:
        terminal.until(r"\] +[1-9]\d*% ")  # at 0 % none has arrived
        terminal.press("\x03")
        terminal.until(r"the\s+same\s+command\s+goes\s+on\s+with\s+the\s+rest")
        assert terminal.process.wait(30) == 130
    arrived = len(keys(cluster, f"{name}/"))
    assert 0 < arrived < 400
    assert counts(tutti("data", "sync", str(here), name, "--json")) == (400 - arrived, 0, arrived)


# ---------------------------------------------------------------- the shared folder


def data_jobs(cluster: Cluster) -> int:
    return sum(job.name == ERRAND for job in list_jobs(cluster))


def test_the_shared_folder_is_reached_through_a_small_job(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("shared words")
    before = data_jobs(cluster)
    assert tutti("data", "put", str(file), "shared:input/x.txt").returncode == 0
    [entry] = [e for e in json.loads(tutti("data", "ls", "shared:input", "--json").stdout) if e["name"] == "x.txt"]
    assert entry["size"] == len("shared words")
    assert tutti("data", "get", "shared:input/x.txt", str(tmp_path / "y.txt")).returncode == 0
    assert (tmp_path / "y.txt").read_text() == "shared words"
    assert tutti("data", "rm", "shared:input/x.txt").stdout == "1 removed\n"
    gone = tutti("data", "get", "shared:input/x.txt", str(tmp_path / "z.txt"))
    assert gone.returncode == 3
    assert "shared:input/x.txt: nothing is there" in gone.stderr
    assert data_jobs(cluster) - before == 5
    assert keys(cluster, PASSING) == []


def test_a_shared_folder_and_one_here_are_made_alike_both_ways(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    place = f"shared:input/{uuid4().hex}"
    here, back = filled(tmp_path / "here"), tmp_path / "back"
    before = data_jobs(cluster)
    assert counts(tutti("data", "sync", str(here), place, "--json")) == (len(ODD), 0, 0)
    assert data_jobs(cluster) - before == 2, "one to look, one to move"
    (here / "a b").write_text("of a c")
    (here / "-rf").unlink()
    assert counts(tutti("data", "sync", str(here), place, "--delete", "--json")) == (1, 1, len(ODD) - 2)
    assert counts(tutti("data", "sync", str(here), place, "--checksum", "--json")) == (0, 0, len(ODD) - 1)
    assert data_jobs(cluster) - before == 5, "where nothing differs, it looks and no more"
    assert counts(tutti("data", "sync", place, str(back), "--json")) == (len(ODD) - 1, 0, 0)
    assert texts(back) == texts(here)
    of_a_file = tutti("data", "sync", f"{place}/a b", str(back), "--delete", "--yes")
    assert (of_a_file.returncode, "is a file; sync works with folders" in of_a_file.stderr) == (2, True)
    assert texts(back) == texts(here)
    assert keys(cluster, PASSING) == []


def test_what_was_sent_for_a_job_that_was_interrupted_is_not_sent_again(
    tutti: Tutti, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, here = f"shared:input/{uuid4().hex}", filled(tmp_path / "here")
    sent: list[str] = []
    real, cancelled = bucket.send, []

    def interrupt(_: Run) -> None:
        raise KeyboardInterrupt

    def cancel(run: Run, reason: str) -> bool:
        cancelled.append((run.id, reason))
        return True

    def send(cluster: Cluster, file: Path, target: Object, moved: Any) -> None:
        sent.append(file.name)
        real(cluster, file, target, moved)

    monkeypatch.setattr(bucket, "send", send)
    with monkeypatch.context() as patched:
        patched.setattr(Run, "wait", interrupt)
        patched.setattr(Run, "cancel", cancel)
        told = tutti("data", "put", str(here), f"{place}/")
    assert (told.returncode, "the same command goes on with the rest" in told.stderr) == (130, True)
    assert len(cancelled) == 1, "nobody waits for that job any more"
    Run(cancelled[0][0], cluster).cancel()
    assert len(sent) == len(ODD)
    (here / "a b").write_text("changed since")
    told = tutti("data", "put", str(here), f"{place}/")
    assert (told.returncode, told.stdout) == (0, f"{len(ODD)} files -> {place}/\n")
    assert sent[len(ODD) :] == ["a b"]
    assert tutti("data", "get", f"{place}/here", str(tmp_path / "back")).returncode == 0
    assert texts(tmp_path / "back") == texts(here)
    assert keys(cluster, PASSING) == []


def test_a_job_that_gives_no_answer_is_told_with_its_last_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "COMMAND", ("sh", "-c", "echo no python here; exit 127"))
    with pytest.raises(Exception, match=r"ended with code 127: .*\. More: tutti logs"):
        shared.ls(cluster, "")


@pytest.mark.parametrize("place", ["../other", "shared:../x", "shared:input", "shared:.", "shared:./input//.", ""])
def test_what_is_not_the_user_s_to_remove_is_refused(tutti: Tutti, place: str) -> None:
    assert tutti("data", "rm", "-r", place).returncode == 2
