"""Checkpoints in an S3 that fails: through a proxy that answers 500, cuts connections, loses answers, keeps silent."""

import base64
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from workload.manifest import checksum
from workload.vault.s3 import S3Store
from workload.vault.store import LostError, StoreError

DATA = os.urandom(5 * (1 << 20) + 3)


@pytest.fixture
def store(s3: object, proxy: Any, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    return S3Store.open("s3://bucket/run", read_timeout=1)


def put_piece(store: S3Store) -> str:
    with store.writing("p") as write:
        return write("u", memoryview(DATA))


def test_every_upload_carries_our_checksum_for_s3_to_check(store: S3Store, s3: Any) -> None:
    crc = put_piece(store)
    head = s3.head_object(Bucket="bucket", Key="run/p/u", ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumCRC32"]).hex() == crc
    assert crc == checksum(DATA)
    assert s3.get_object(Bucket="bucket", Key="run/p/u")["Body"].read() == DATA


@pytest.mark.parametrize("status", [500, 503])
def test_an_upload_that_s3_fails_twice_is_done_the_third_time(
    store: S3Store, proxy: Any, fault: Any, status: int
) -> None:
    proxy.times(2, fault(status=status), method="PUT", holds="run/p/u")
    assert put_piece(store) == checksum(DATA)
    assert proxy.count("PUT", "run/p/u") == 3
    assert store.read_piece("p/u", memoryview(bytearray(len(DATA)))) == checksum(DATA)


def test_an_upload_cut_off_is_done_again(store: S3Store, proxy: Any, fault: Any) -> None:
    proxy.times(1, fault(cut_request=True), method="PUT", holds="run/p/u")
    assert put_piece(store) == checksum(DATA)
    assert store.read_piece("p/u", memoryview(bytearray(len(DATA)))) == checksum(DATA)


def test_an_upload_that_always_fails_is_named(store: S3Store, proxy: Any, fault: Any) -> None:
    proxy.times(99, fault(status=500), method="PUT")
    with pytest.raises(StoreError, match=r"cannot write s3://bucket/run/p/u: .*InternalError"):
        put_piece(store)


def test_a_download_that_breaks_goes_on_where_it_broke(store: S3Store, proxy: Any, fault: Any) -> None:
    put_piece(store)
    proxy.times(1, fault(cut_after=3 << 20), method="GET", holds="run/p/u")
    back = bytearray(len(DATA))
    assert store.read_piece("p/u", memoryview(back)) == checksum(DATA)
    assert bytes(back) == DATA
    ranges = [request.range for request in proxy.seen if request.method == "GET"]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 3 << 20


def test_bytes_changed_on_the_way_show_in_the_checksum(store: S3Store, proxy: Any, fault: Any) -> None:
    put_piece(store)
    proxy.times(1, fault(damage_at=4_000_000), method="GET", holds="run/p/u")
    assert store.read_piece("p/u", memoryview(bytearray(len(DATA)))) != checksum(DATA)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_an_s3_that_keeps_silent_is_asked_again(
    store: S3Store, proxy: Any, fault: Any, released: threading.Event
) -> None:
    put_piece(store)
    proxy.times(1, fault(pause=released), method="GET", holds="run/p/u")
    assert store.read_piece("p/u", memoryview(bytearray(len(DATA)))) == checksum(DATA)


def test_an_s3_that_stays_silent_is_named(store: S3Store, proxy: Any, fault: Any, released: threading.Event) -> None:
    proxy.times(99, fault(pause=released), method="GET")
    with pytest.raises(StoreError, match=r"cannot read s3://bucket/run/lock.json: .*[Tt]imeout"):
        store.get("lock.json")


def test_an_object_that_is_gone_is_lost_and_not_a_failure_of_s3(store: S3Store) -> None:
    with pytest.raises(LostError, match="s3://bucket/run/p/u is not there"):
        store.read_piece("p/u", memoryview(bytearray(1)))


def test_a_lock_whose_answer_was_lost_is_ours(store: S3Store, proxy: Any, fault: Any) -> None:
    # S3 has carried the request out; the repetition then meets our own object and gets 412.
    proxy.times(1, fault(lose_answer=True), method="PUT", holds="lock.json")
    assert store.put_new("lock.json", b"mine")
    assert proxy.count("PUT", "lock.json") == 2
    assert not store.put_new("lock.json", b"another's")


def test_more_keys_than_one_request_may_name_are_deleted(store: S3Store, proxy: Any) -> None:
    store.put("lock.json", b"x")
    store.delete([f"none-{i}" for i in range(1000)] + ["lock.json"])
    assert store.get("lock.json") is None
    assert proxy.count("POST", "delete") == 2
