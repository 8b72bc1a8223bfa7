"""What runs on a node for `tutti data`: as it runs there, a program alone with its order, and by the walk that both share."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tutti.data import onnode
from tutti.data.onnode import HALF, half_name, key_of, open_half, walk

ODD = ("-rf", "two\nlines", "größe ✓", " ", "a\\b", "'q\"", os.fsdecode(b"caf\xe9"))


def run(folder: Path, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The program as a job runs it; its code and its answer."""
    for name in ("input/files", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "shared").mkdir(exist_ok=True)
    (folder / "input" / "onnode.py").write_bytes(Path(onnode.__file__).read_bytes())
    (folder / "input" / "order.json").write_text(json.dumps(order))
    done = subprocess.run(
        [sys.executable, "-I", "input/onnode.py"],
        cwd=folder,
        env={"TUTTI_SHARED": str(folder / "shared"), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, onnode.MISSING}, done.stderr
    return done.returncode, json.loads((folder / "output" / "answer.json").read_text())


def put(folder: Path, files: dict[str, str], **more: Any) -> dict[str, Any]:
    listed = []
    for name, text in files.items():
        (folder / "input" / "files").mkdir(parents=True, exist_ok=True)
        (folder / "input" / "files" / key_of(name)).write_text(text)
        listed.append([name, key_of(name), 1_000_000_000, name == "prog"])
    return run(folder, {"do": "put", "path": "into", "remove": [], "files": listed, **more})[1]


def test_files_of_any_name_arrive_whole_with_time_and_mode_and_are_listed_so(tmp_path: Path) -> None:
    names = [*ODD, "deep/er/file", "prog"]
    assert put(tmp_path, {name: f"of {name!r}" for name in names}) == {"failed": []}
    _, answer = run(tmp_path, {"do": "walk", "path": "into", "sums": {"prog": len("of 'prog'"), "-rf": 1}})
    assert {f[0] for f in answer["files"]} == set(names)
    assert {tuple(f[2:]) for f in answer["files"] if f[0] == "prog"} == {(1_000_000_000, True)}
    assert list(answer["sums"]) == ["prog"]
    assert (tmp_path / "shared" / "into" / "two\nlines").read_text() == "of 'two\\nlines'"


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    """A reader of the folder sees the old content or the new one, never a part; what is half written is not listed."""
    put(tmp_path, {"big": "o" * 5_000_000})
    target, seen, over = tmp_path / "shared" / "into" / "big", set(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            text = target.read_text()
            seen.add((text[0], text[-1], len(text)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    put(tmp_path, {"big": "n" * 7_000_000})
    over.set()
    watcher.join()
    assert seen <= {("o", "o", 5_000_000), ("n", "n", 7_000_000)}
    (target.parent / half_name("x")).write_text("half")
    assert HALF.fullmatch(half_name("x"))
    assert [f.name for f in walk(str(target.parent)).files] == ["big"]


def test_what_goes_goes_first_and_folders_that_it_leaves_empty_with_it(tmp_path: Path) -> None:
    put(tmp_path, {"a/b/c": "1", "keep": "2"})
    assert put(tmp_path, {"a": "now a file"}, remove=["a/b/c", "not there"]) == {"failed": []}
    assert (tmp_path / "shared" / "into" / "a").read_text() == "now a file"


def test_nothing_is_removed_behind_a_link_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    put(tmp_path, {"keep": "1"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "far").write_text("somebody else's")
    (tmp_path / "shared" / "into" / "link").symlink_to(outside)
    assert put(tmp_path, {}, remove=["link/far", "keep"]) == {
        "failed": [["link/far", "stays, for it lies behind a link: link"]]
    }
    assert (outside / "far").read_text() == "somebody else's"
    assert not (tmp_path / "shared" / "into" / "keep").exists()


def test_a_link_is_removed_and_never_what_it_leads_to(tmp_path: Path) -> None:
    put(tmp_path, {"folder/x": "1"})
    link = tmp_path / "shared" / "into" / "link"
    link.symlink_to("folder")
    assert run(tmp_path, {"do": "rm", "path": "into/link/", "recursive": True}) == (0, {"removed": 1})
    assert not link.is_symlink()
    assert (tmp_path / "shared" / "into" / "folder" / "x").read_text() == "1"


def test_one_file_that_cannot_be_written_keeps_no_other_back(tmp_path: Path) -> None:
    put(tmp_path, {"a/b": "1"})
    failed = put(tmp_path, {"a": "a folder is in its way", "c": "fine"})["failed"]
    assert [name for name, _ in failed] == ["a"]
    assert (tmp_path / "shared" / "into" / "c").read_text() == "fine"
    assert not list((tmp_path / "shared" / "into").glob(".tutti*"))


def test_a_file_goes_into_a_folder_of_its_target_s_name_as_with_cp(tmp_path: Path) -> None:
    put(tmp_path, {"folder/x": "1"})
    put(tmp_path, {"folder": "file"}, own_name="mine.txt")
    assert (tmp_path / "shared" / "into" / "folder" / "mine.txt").read_text() == "file"


def test_what_is_got_are_links_so_that_nothing_is_copied_twice(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(ODD, "1"))
    _, answer = run(tmp_path, {"do": "get", "path": "into", "names": [*ODD[:2], "gone"]})
    assert [f[0] for f in answer["files"]] == [*ODD[:2]]
    assert answer["problems"] == ["gone: No such file or directory"]
    link = tmp_path / "output" / "files" / key_of(ODD[0])
    assert (link.is_symlink(), link.read_text()) == (True, "1")


def test_a_path_that_is_not_there_and_a_folder_without_recursive_are_told(tmp_path: Path) -> None:
    put(tmp_path, {"a": "1", "b/c": "2"})
    assert run(tmp_path, {"do": "walk", "path": "nowhere"}) == (3, {"missing": True})
    assert run(tmp_path, {"do": "rm", "path": "into", "recursive": False}) == (0, {"folder_of": 2})
    assert run(tmp_path, {"do": "ls", "path": "into"})[1]["entries"][1][:2] == ["b/", None]
    assert run(tmp_path, {"do": "rm", "path": "into", "recursive": True}) == (0, {"removed": 2})
    assert not (tmp_path / "shared" / "into").exists()


def test_links_count_as_what_they_lead_to_once_and_the_rest_is_told(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "sub").mkdir(parents=True)
    (inside / "empty").mkdir()
    outside.mkdir()
    (inside / "sub" / "file").write_text("1")
    (outside / "far").write_text("22")
    for name, target in (
        ("to-file", inside / "sub" / "file"),
        ("to-inside", inside / "sub"),
        ("to-outside", outside),
        ("to-outside-again", outside),
        ("to-nowhere", tmp_path / "gone"),
        ("round", inside),
    ):
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "pipe")
    tree = walk(str(inside))
    assert {f.name: f.size for f in tree.files} == {"sub/file": 1, "to-file": 1, "to-outside/far": 2}
    assert tree.empty == ["empty/"]
    told = {note.partition(":")[0]: note for note in tree.notes}
    assert set(told) == {"to-inside", "to-outside-again", "to-nowhere", "round", "pipe"}
    assert "leads nowhere" in told["to-nowhere"]


def test_a_folder_that_cannot_be_read_is_a_problem_and_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "file").write_text("1")
    real = os.scandir

    def scandir(path: str) -> Any:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    tree = walk(str(tmp_path))
    assert ([f.name for f in tree.files], tree.empty, tree.problems) == (["file"], [], ["shut/: Permission denied"])


def test_a_link_that_cannot_be_looked_at_is_a_problem_and_no_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "long").symlink_to("x" * 300)
    tree = walk(str(tmp_path))
    assert tree.notes == ["loop: a link that leads nowhere; left out"]
    assert tree.problems == ["long: File name too long"], "what cannot be seen must keep --delete from its copy"


def test_of_two_who_write_one_file_at_once_one_is_refused(tmp_path: Path) -> None:
    half = tmp_path / "half"
    with open_half(str(half)) as first:
        first.write(b"whole")
        with pytest.raises(OSError, match="another command writes it"):
            open_half(str(half))
    with open_half(str(half)) as again:
        assert again.read() == b"", "what was left of an earlier try is gone"


def test_a_file_that_got_its_name_meanwhile_is_not_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the other's rename and our lock: what we opened is the finished file by then."""
    half, done = tmp_path / "half", tmp_path / "done"
    half.write_bytes(b"the other's, whole")
    lock = fcntl.flock

    def late(file: Any, how: int) -> None:
        if not done.exists():
            half.replace(done)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with open_half(str(half)) as data:
        data.write(b"ours")
    assert (done.read_bytes(), half.read_bytes()) == (b"the other's, whole", b"ours")
