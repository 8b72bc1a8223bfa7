"""Who may write to a target, and who is refused."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from workload.manifest import LOCK_KEY
from workload.vault.lock import LockedError, Owner, acquire, holder, may_take
from workload.vault.store import Store

BATCH = {"AWS_BATCH_JOB_ID": "1f2e#0", "AWS_BATCH_JOB_ATTEMPT": "1"}
STRANGER = {"AWS_BATCH_JOB_ID": "9a9a#0", "AWS_BATCH_JOB_ATTEMPT": "3"}


def owner(environ: dict[str, str], **more: object) -> Owner:
    """An owner on a host of its own: nobody can see whether its process lives."""
    made = replace(Owner.of_this_process(environ), host=f"host-{environ.get('AWS_BATCH_JOB_ID')}")
    return replace(made, **more)  # type: ignore[arg-type]  # fields of Owner


def test_a_second_job_is_refused_and_told_who_holds_the_place(store: Store) -> None:
    acquire(store, owner(BATCH, since=time.time() - 40))
    with pytest.raises(LockedError) as refused:
        acquire(store, owner(STRANGER))
    text = str(refused.value)
    for part in (store.target, "job 1f2e, attempt 1 on host-1f2e", "held for 40 s", "sign of life", "unlock"):
        assert part in text, text


def test_a_retry_of_the_same_job_is_let_in_and_the_late_first_attempt_is_out(store: Store) -> None:
    first = acquire(store, owner(BATCH))
    retry = acquire(store, owner({**BATCH, "AWS_BATCH_JOB_ATTEMPT": "2"}))
    assert "an earlier attempt at this job" in retry.taken_from
    retry.check()
    with pytest.raises(LockedError, match="was taken by job 1f2e, attempt 2"):
        first.check()
    with pytest.raises(LockedError):
        first.touch()
    first.release()
    retry.check()
    with pytest.raises(LockedError):
        acquire(store, owner(BATCH))


def test_a_resubmission_in_the_same_line_is_let_in(store: Store) -> None:
    acquire(store, owner({**BATCH, "AWS_BATCH_JOB_ATTEMPT": "7"}))
    successor = {"AWS_BATCH_JOB_ID": "77aa#0", "AWS_BATCH_JOB_ATTEMPT": "1", "TUTTI_LINE": "1f2e/1"}
    assert "an earlier attempt" in acquire(store, owner(successor)).taken_from


def test_a_lock_that_nobody_has_touched_for_long_falls(store: Store) -> None:
    acquire(store, owner(BATCH))
    with pytest.raises(LockedError):
        acquire(store, owner(STRANGER), stale=3600)
    assert "not touched" in acquire(store, owner(STRANGER), stale=-1).taken_from


def test_the_lock_of_a_process_that_is_gone_falls_at_once(store: Store) -> None:
    script = (
        "import sys; from workload.vault.lock import *; from workload.vault.store import open_store;"
        "acquire(open_store(sys.argv[1]), Owner.of_this_process({}))"
    )
    subprocess.run([sys.executable, "-c", script, store.target], check=True, timeout=60)
    held = acquire(store, Owner.of_this_process({}))
    assert "its process is gone" in held.taken_from


def test_the_lock_of_a_process_that_lives_holds(store: Store) -> None:
    acquire(store, Owner.of_this_process({}))
    with pytest.raises(LockedError, match="process"):
        acquire(store, Owner.of_this_process({}))


def test_a_released_lock_is_free_and_a_removed_one_is_noticed(store: Store) -> None:
    held = acquire(store, owner(BATCH))
    held.touch()
    held.release()
    acquire(store, owner(STRANGER)).check()
    with pytest.raises(LockedError):
        held.check()
    store.delete([LOCK_KEY])
    with pytest.raises(LockedError, match="our lock was removed"):
        held.check()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"job": "x"}'])
def test_a_lock_that_nobody_can_read_still_locks(store: Store, data: bytes) -> None:
    store.put(LOCK_KEY, data)
    with pytest.raises(LockedError, match="a program that left no name"):
        acquire(store, owner(BATCH))
    entry = store.get(LOCK_KEY)
    assert entry is not None
    assert holder(entry) is None


def test_programs_outside_batch_are_no_attempts_at_one_job() -> None:
    one, other = owner({}, host="a"), owner({}, host="b", attempt=2)
    assert not may_take(one, 0, other)
