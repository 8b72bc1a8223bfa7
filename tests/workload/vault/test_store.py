"""What a store promises, whichever it is."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workload.manifest import checksum
from workload.vault.folder import FolderStore
from workload.vault.store import Entry, LostError, Store, StoreError, open_store

FOLDER = "step-000000000001-0123abcd"


def test_a_piece_comes_back_as_it_was_with_its_checksum(store: Store) -> None:
    data = os.urandom(3 * (1 << 20) + 17)
    store.make_folder(FOLDER)
    with store.writing(FOLDER) as write:
        assert write("u", memoryview(data)) == checksum(data)
    back = bytearray(len(data))
    assert store.read_piece(f"{FOLDER}/u", memoryview(back)) == checksum(data)
    assert back == data


@pytest.mark.parametrize("size", [0, 9, 11])
def test_a_piece_of_another_size_is_lost(store: Store, size: int) -> None:
    store.make_folder(FOLDER)
    with store.writing(FOLDER) as write:
        write("u", memoryview(b"0123456789"))
    with pytest.raises(LostError, match=rf"{FOLDER}/u has 10 bytes, it should have {size}"):
        store.read_piece(f"{FOLDER}/u", memoryview(bytearray(size)))


def test_a_piece_that_is_not_there_is_lost(store: Store) -> None:
    with pytest.raises(LostError, match=f"{FOLDER}/u is not there"):
        store.read_piece(f"{FOLDER}/u", memoryview(bytearray(1)))


def test_put_replaces_and_put_new_does_not(store: Store) -> None:
    assert store.get("lock.json") is None
    assert store.put_new("lock.json", b"first")
    assert not store.put_new("lock.json", b"second")
    store.put("lock.json", b"third")
    entry = store.get("lock.json")
    assert entry is not None
    assert entry.data == b"third"


def test_take_over_succeeds_only_on_what_was_seen(store: Store) -> None:
    store.put("lock.json", b"old")
    seen = store.get("lock.json")
    assert seen is not None
    store.put("lock.json", b"somebody was quicker")
    assert not store.take_over("lock.json", seen, b"mine")
    assert not store.touch("lock.json", seen)
    now = store.get("lock.json")
    assert now is not None
    assert now.data == b"somebody was quicker"
    assert store.take_over("lock.json", now, b"mine")
    mine = store.get("lock.json")
    assert mine is not None
    assert mine.data == b"mine"
    store.delete(["lock.json"])
    assert not store.take_over("lock.json", mine, b"again")
    assert not store.touch("lock.json", mine)


def test_touch_makes_an_entry_young_and_changes_nothing_else(tmp_path: Path) -> None:
    store = FolderStore(str(tmp_path))
    store.put("lock.json", b"held")
    os.utime(tmp_path / "lock.json", (time.time() - 5000, time.time() - 5000))
    seen = store.get("lock.json")
    assert seen is not None
    assert seen.age > 4900
    assert store.touch("lock.json", seen)
    again = store.get("lock.json")
    assert again is not None
    assert again.age < 100
    assert (again.data, again.tag) == (seen.data, seen.tag)


def test_touch_in_s3_makes_an_entry_young(store: Store) -> None:
    store.put("lock.json", b"held")
    seen = store.get("lock.json")
    assert seen is not None
    assert store.touch("lock.json", seen)
    again = store.get("lock.json")
    assert again is not None
    assert (again.data, again.tag) == (seen.data, seen.tag)


def _take(store: Store, seen: Entry, name: bytes) -> bool:
    return store.take_over("lock.json", seen, b"next" + name)


def test_of_many_who_want_a_folders_key_one_gets_it(tmp_path: Path) -> None:
    store = FolderStore(str(tmp_path))
    won: list[bytes] = []

    def race(attempt: Callable[[bytes], bool], name: bytes, start: threading.Barrier) -> None:
        start.wait()
        if attempt(name):
            won.append(name)

    def everybody(attempt: Callable[[bytes], bool]) -> list[bytes]:
        won.clear()
        start = threading.Barrier(8)
        threads = [threading.Thread(target=race, args=(attempt, b"%d" % i, start)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return list(won)

    for _ in range(20):
        winners = everybody(lambda name: store.put_new("lock.json", name))
        entry = store.get("lock.json")
        assert entry is not None
        assert winners == [entry.data]
        seen = entry
        winners = everybody(partial(_take, store, seen))
        entry = store.get("lock.json")
        assert entry is not None
        assert len(winners) <= 1
        if winners:
            assert entry.data == b"next" + winners[0]
        store.delete(["lock.json"])
    assert [path.name for path in tmp_path.iterdir()] == [], "nothing temporary is left"


def test_listing_names_checkpoints_and_what_lies_beside_them_and_delete_removes_them(store: Store) -> None:
    store.make_folder(FOLDER)
    with store.writing(FOLDER) as write:
        write("u", memoryview(b"12345"))
    store.put(f"{FOLDER}/manifest.json", b"{}")
    store.put("lock.json", b"me")
    assert store.list() == {f"{FOLDER}/u": 5, f"{FOLDER}/manifest.json": 2, "lock.json": 2}
    store.delete([f"{FOLDER}/manifest.json", f"{FOLDER}/u", f"{FOLDER}/never-was"])
    assert store.list() == {"lock.json": 2}


def test_other_folders_of_a_users_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious").write_text("x")
    store = FolderStore(str(tmp_path))
    store.make_folder(FOLDER)
    assert store.list() == {}
    assert (tmp_path / "results" / "precious").exists()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot make the folder .*/file/x: Not a directory"):
        FolderStore(str(tmp_path / "file" / "x")).make_folder("")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "allowed: s3://BUCKET/PREFIX, shared:PATH, or a folder"),
        ("s3://bucket", "need a bucket and a prefix"),
        ("s3:///prefix", "need a bucket and a prefix"),
        ("shared:x", "TUTTI_SHARED is not set"),
    ],
)
def test_a_place_that_cannot_be_is_refused(target: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_store(target, {})


def test_a_shared_place_is_below_the_shared_folder() -> None:
    assert open_store("shared:runs/7", {"TUTTI_SHARED": "/mnt/efs"}).target == "/mnt/efs/runs/7"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_come_back(tmp_path: Path, data: bytes) -> None:
    store = FolderStore(str(tmp_path))
    store.put("answer.json", data)
    entry = store.get("answer.json")
    assert entry is not None
    assert entry.data == data
