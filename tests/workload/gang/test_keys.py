from __future__ import annotations

import itertools

import zmq

from workload.gang.keys import GangKeys

KEYS = GangKeys(secret=b"secret", job_id="job-1", attempt=1)


def test_every_node_derives_the_same_keys_from_the_same_secret() -> None:
    again = GangKeys(secret=b"secret", job_id="job-1", attempt=1)
    assert KEYS.roster() == again.roster()
    assert KEYS.member(3) == again.member(3)


def test_another_secret_job_attempt_role_or_index_is_another_key() -> None:
    keys = [
        KEYS.roster(),
        KEYS.member(0),
        KEYS.member(1),
        KEYS.member(11),
        GangKeys(secret=b"other", job_id="job-1", attempt=1).member(1),
        GangKeys(secret=b"secret", job_id="job-2", attempt=1).member(1),
        GangKeys(secret=b"secret", job_id="job-1", attempt=2).member(1),
        # Were the parts only strung together, these two would be the same.
        GangKeys(secret=b"secret", job_id="job-1", attempt=11).member(1),
    ]
    assert all(a.public != b.public for a, b in itertools.combinations(keys, 2))


def test_the_public_key_belongs_to_the_secret_one() -> None:
    pair = KEYS.member(5)
    assert zmq.curve_public(pair.secret) == pair.public


def test_nothing_secret_is_printed() -> None:
    assert "secret'" not in repr(KEYS)
    assert KEYS.member(1).secret.decode() not in repr(KEYS.member(1))
