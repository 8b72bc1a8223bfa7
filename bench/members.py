"""How long a gang of 1,000 members takes to assemble, and how much memory: roster and members in one process.

Real are the keys, CURVE, the ZAP handler, the roster, the watch and every message; a member here is its socket alone.
The last line is one JSON object: `members_1000_s`, `members_1000_mb`. Wanted: at most 2 s and 150 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import threading
import time
from functools import partial
from pathlib import Path

import zmq

from workload import contract
from workload.gang.keys import GangKeys
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.reception import Reception
from workload.gang.roster import PROTOCOL, Hello, Roster
from workload.gang.watch import Watch
from workload.gang.wire import RosterWire, encoded

KEYS = GangKeys(secret=b"bench", job_id="bench", attempt=1)
VERSIONS = {"tutti": contract.VERSION, "protocol": str(PROTOCOL)}
PATIENCE_S = 60.0


def members(count: int, port: int, welcomed: list[int], over: threading.Event) -> None:
    """Connect `count` members, wait for each one's welcome, and stay until it is `over`."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2 * count + 16)
    roster = KEYS.roster().public
    poller = zmq.Poller()
    sockets = []  # kept: a socket that nobody holds is closed
    for index in range(count):
        keys = KEYS.member(index)
        socket = context.socket(zmq.DEALER)
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = roster, keys.public, keys.secret
        socket.linger = 0
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(encoded(hello(index).message()))
        poller.register(socket, zmq.POLLIN)
        sockets.append(socket)
    until = time.monotonic() + PATIENCE_S
    while len(welcomed) < count and time.monotonic() < until:
        for socket, _ in poller.poll(1000):
            if json.loads(socket.recv())["t"] == "welcome":
                welcomed.append(1)
                poller.unregister(socket)
    over.wait(PATIENCE_S)
    context.destroy(linger=0)


def hello(index: int) -> Hello:
    return Hello(
        index=index,
        address=f"10.0.{index // 250}.{index % 250 + 1}",
        network="10.0.0.0/16",
        cores=48,
        bind=True,
        memory_mib=380_000,
        gpus=0,
        probe_port=40_000,
        clock=time.time(),
        versions=VERSIONS,
        facts={"CPU model": "AMD EPYC 9R14", "NUMA nodes": "2", "shm": "190000 MiB", "stack limit": "unlimited"},
    )


def assemble(count: int) -> float:
    """Seconds from the roster's start to the last member's welcome."""
    begun = time.monotonic()
    with Path(os.devnull).open("wb") as nowhere, Loop() as loop:
        roster = Roster(count=count, main_index=0, versions=VERSIONS)
        wire = partial(
            RosterWire,
            loop,
            address="127.0.0.1",
            port=0,
            keys=KEYS.roster(),
            members={KEYS.member(index).public: index for index in range(count)},
        )
        reception = Reception(loop, Log(0, nowhere.fileno()), roster, Watch(silence_s=30), wire)
        ready: list[float] = []
        reception.listen(
            on_message=lambda _index, _message: None,
            on_ready=lambda: ready.append(time.monotonic()),
            on_end=lambda code, reason: sys.exit(f"{code}: {reason}"),
            on_stall=lambda _idle: None,
        )
        welcomed: list[int] = []
        over = threading.Event()
        thread = threading.Thread(target=members, args=(count, reception.port, welcomed, over))
        thread.start()
        while len(welcomed) < count and time.monotonic() - begun < PATIENCE_S:
            loop.turn(0.02)
        seconds = time.monotonic() - begun
        reception.close()
        over.set()
        thread.join()
    if not ready or len(welcomed) != count:
        sys.exit(f"{len(roster.members)} of {count} members joined, {len(welcomed)} were welcomed")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="members (%(default)s)")
    count = parser.parse_args().count
    seconds = assemble(count)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} members: {seconds:.2f} s, {megabytes:.0f} MB")
    print(json.dumps({f"members_{count}_s": round(seconds, 3), f"members_{count}_mb": round(megabytes, 1)}))


if __name__ == "__main__":
    main()
