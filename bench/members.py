"""How long 1,000 members take to join one roster, and the memory of the process that holds the roster and all of them.

The members are simulated: each has its own derived CURVE key, its own connection over TCP and its own hello, but no
process of its own. Usage: bench/members.py [COUNT]. `bench/gang.py` runs it for `members_1000_s` and `members_1000_mb`.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Final

import zmq

from workload.gang.keys import GangKeys
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.reception import Reception
from workload.gang.roster import Hello, Roster
from workload.gang.watch import Watch
from workload.gang.wire import RosterWire, encoded, raise_nofile

VERSIONS: Final = {"tutti": "bench"}
PATIENCE_S: Final = 60.0


def hello(index: int) -> bytes:
    told = Hello(
        index=index,
        address=f"10.0.{index // 250}.{index % 250 + 1}",
        network="10.0.0.0/16",
        cores=64,
        bind=True,
        memory_mib=262_144,
        gpus=0,
        probe_port=40_000,
        clock=time.time(),
        versions=VERSIONS,
        facts={"CPU model": "a CPU of the bench"},
    )
    return encoded(told.message())


def join(port: int, keys: GangKeys, count: int, begun: list[float]) -> None:
    """Be all members: connect, say hello, hear the welcome."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, count + 16)
    roster = keys.roster().public
    pairs = [keys.member(index) for index in range(count)]
    begun.append(time.monotonic())
    sockets = []
    for index, pair in enumerate(pairs):
        member = context.socket(zmq.DEALER)
        member.set(zmq.CURVE_SERVERKEY, roster)
        member.set(zmq.CURVE_PUBLICKEY, pair.public)
        member.set(zmq.CURVE_SECRETKEY, pair.secret)
        member.set(zmq.LINGER, 0)
        member.connect(f"tcp://127.0.0.1:{port}")
        member.send(hello(index))
        sockets.append(member)
    for member in sockets:
        member.recv()
    for member in sockets:
        member.close()
    context.term()


def main(count: int) -> int:
    raise_nofile(count)
    keys = GangKeys(secret=os.urandom(32), job_id="bench", attempt=1)
    with Path(os.devnull).open("wb") as nowhere, Loop() as loop:
        log = Log(0, nowhere.fileno())
        wire = functools.partial(
            RosterWire,
            loop,
            address="127.0.0.1",
            port=0,
            keys=keys.roster(),
            members={keys.member(index).public: index for index in range(count)},
        )
        reception = Reception(
            loop,
            log,
            Roster(count=count, main_index=0, versions=VERSIONS),
            Watch(silence_s=30.0, hang_after_s=0),
            wire,
        )
        begun: list[float] = []
        ended: list[float] = []

        def ready() -> None:
            ended.append(time.monotonic())
            loop.stop()

        def lost(code: int, reason: str) -> None:
            raise SystemExit(f"the gang ended with {code}: {reason}")

        reception.listen(on_message=lambda *_: None, on_ready=ready, on_end=lost, on_stall=lambda _: None)
        loop.after(PATIENCE_S, lambda: lost(0, f"not all in within {PATIENCE_S:g} s"))
        threading.Thread(target=join, args=(reception.port, keys, count, begun), daemon=True).start()
        loop.run()
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"members": count, "seconds": round(ended[0] - begun[0], 3), "mib": round(mib, 1)}
    print(f"{count} members in {result['seconds']} s, {result['mib']} MiB")
    print(json.dumps(result), flush=True)
    # The members' own farewells are not what is measured.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
