"""The twin's process: everything put together. `python -m tutti.twin.daemon HOME OPTIONS READY_FD`.

It writes one JSON object to READY_FD when it answers - or when it cannot, with `error` in it - and closes it.
"""

from __future__ import annotations

import fcntl
import gc
import getpass
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, cast

from tutti.home import Home, write_private
from tutti.twin import cluster, ground
from tutti.twin.admin import Admin
from tutti.twin.api.batch import Batch
from tutti.twin.api.batch_jobs import BatchJobs
from tutti.twin.api.batch_resources import BatchResources
from tutti.twin.api.ecs import TARGET as ECS_TARGET
from tutti.twin.api.ecs import Ecs
from tutti.twin.api.logs import TARGET, Logs
from tutti.twin.beside import Beside
from tutti.twin.credentials import KeyRing, Keys, new_keys
from tutti.twin.engine import Engine
from tutti.twin.front import ADMIN_SERVICE, Answer, Call, Front, Part, identity
from tutti.twin.hands import NodeHands
from tutti.twin.instances import Instances
from tutti.twin.logstore import LogStore
from tutti.twin.moto_app import Moto
from tutti.twin.nodes import NodeEnd
from tutti.twin.objects import ObjectMirror
from tutti.twin.options import TwinOptions
from tutti.twin.place import TwinPlace
from tutti.twin.registry import Place, Registry
from tutti.twin.runner import Runner
from tutti.twin.server import Server, listen
from tutti.twin.store import Store
from workload.contract import Card, CardTwin

STOPPED: Final = "The twin was stopped or killed while this job ran"
_LOG = logging.getLogger("tutti.twin")


class Twin:
    """One running twin. Made, it answers; `close` ends it and every node."""

    def __init__(self, home: Home, options: TwinOptions) -> None:
        self.place = TwinPlace(home=home.twin)
        self.place.make()
        self._lock = self._only_one()
        self.stop = threading.Event()
        self._options = options
        self._store = Store(self.place.database)
        self._keys = KeyRing(_own_keys(self._store))
        self._where = Place(region=cluster.REGION, account=cluster.ACCOUNT)
        self._logs = LogStore(self.place.logs)
        self._logs.make(cluster.LOG_GROUP)
        self._registry = Registry.load(self._store, self._where)
        self._mirror = ObjectMirror(self.place.objects, cluster.ACCOUNT)
        self._moto = Moto(self._prepare_moto, self._after_moto)
        self._beside = Beside(
            moto=self._moto, logs=self._logs, store=self._store, place=self._where, keys=self._keys.own
        )
        engine = Engine(random=SystemRandom(), child_spread_s=options.child_spread_s)
        self._runner = Runner(engine, self._store, self._registry, self._beside.events)
        self._instances = Instances(self._registry.shape)
        self._jobs = BatchJobs(self._runner, self._registry)
        self._resources = BatchResources(self._registry, self._runner.refresh, self._runner.terminate_queue)
        self._server = Server(self._front())
        listener = self._listen(options.port)
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._store.save_fact("port", str(listener.getsockname()[1]))
        self._host = ground.node_host(options, self.place.name, self._node_started, self._node_ended)
        self._hands = self._make_hands()
        self._hands.host = self._host
        self.card = self._make_cluster()
        self._restore()
        self._runner.start(self._hands)
        self._runner.refresh()
        self._beside.start(self.endpoint, [q.name for q in self.card.queues], self._jobs.SubmitJob)
        self._server.serve(listener)
        write_private(home.card(cluster.STACK), json.dumps(self.card.to_json(), indent=1) + "\n")
        if not home.current.exists():
            write_private(home.current, cluster.STACK + "\n")
        self._moto.load()

    def about(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "isolation": self._host.isolation.value,
            "contained": self._host.contained,
            "pid_namespace": self._host.pid_namespace,
            "pid": os.getpid(),
            "home": str(self.place.home),
            "shared": str(self.place.shared),
            "bucket": cluster.BUCKET,
            "log_group": cluster.LOG_GROUP,
            "max_vcpus": self._options.max_vcpus,
            "queues": [q.name for q in self.card.queues],
        }

    def close(self) -> None:
        """Stop answering, keep what is to be kept, end every node."""
        self._server.close()
        self._beside.close()
        self._runner.close()
        self._host.close()
        self._store.close()
        self.place.sweep()
        os.close(self._lock)

    # ------------------------------------------------------------ parts

    def _only_one(self) -> int:
        descriptor = os.open(self.place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise RuntimeError(f"a twin runs already in {self.place.home}; stop it with: tutti twin down") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self.place.sweep()
        self.place.make()
        return descriptor

    def _listen(self, port: int) -> Any:
        before = int(self._store.fact("port") or 0)
        for wanted in (port,) if port else (before, 0):
            try:
                return listen("127.0.0.1", wanted)
            except OSError as error:
                if port:
                    raise RuntimeError(f"port {port} is taken: {error}; choose another: --port N") from error
        raise RuntimeError("no port of 127.0.0.1 is free")

    # The front and the node host are made before the hands: what they call goes through here.

    def _task_metadata(self, path: str) -> dict[str, Any] | None:
        return self._hands.metadata(path)

    def _node_started(self, key: str, pid: int) -> None:
        self._hands.started(key, pid)

    def _node_ended(self, end: NodeEnd) -> None:
        self._hands.ended(end)

    def _make_hands(self) -> NodeHands:
        return NodeHands(
            runner=self._runner,
            keys=self._keys,
            logs=self._logs,
            instances=self._instances,
            around=ground.surroundings(self._host, self.place, self.endpoint, self._server),
            scratch=self.place.scratch,
            shared=self.place.shared,
            secret=self._secret,
            log_limit=self._options.log_limit,
        )

    def _make_cluster(self) -> Card:
        pools = cluster.pools(self._options.pools, self._options.gpus)
        shared, image = ground.shared(self._host, self.place), self._options.image
        # The engine is told once, when all is made.
        resources = BatchResources(self._registry, lambda: None, lambda _name: None)
        cluster.create(resources, self._registry, pools, max_vcpus=self._options.max_vcpus, shared=shared, image=image)
        keys = self._keys.own
        twin = CardTwin(
            endpoint=self.endpoint,
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            isolation=self._host.isolation.value,
        )
        return cluster.card(
            self._where,
            pools,
            self._registry,
            twin,
            max_vcpus=self._options.max_vcpus,
            mpis=ground.mpis(self._host, image),
            group=cluster.STACK,
            shared=shared,
            image=image,
        )

    def _restore(self) -> None:
        jobs = self._store.jobs()
        self._runner.call(lambda engine, now: engine.restore(jobs, now, STOPPED), keep=True)

    def _front(self) -> Front:
        batch = Batch(self._jobs, self._resources, self._runner, self._where)
        logs = Logs(self._logs, region=cluster.REGION, account=cluster.ACCOUNT)
        ecs = Ecs(self._instances, self._registry.clusters)
        user = _login()

        def answer_batch(call: Call) -> Answer:
            return Answer.of_json(batch.answer(call.method, call.path, dict(call.query), call.body))

        def answer_logs(call: Call) -> Answer | None:
            operation = call.headers.get("x-amz-target", "").removeprefix(TARGET)
            if operation == "DescribeLogGroups":
                self._show_log_groups()
                return None
            if not logs.owns(call.body):
                return None
            return Answer.of_json(logs.answer(operation, call.body))

        def answer_ecs(call: Call) -> Answer | None:
            if not ecs.owns(call.body):
                return None
            return Answer.of_json(ecs.answer(call.headers.get("x-amz-target", "").removeprefix(ECS_TARGET), call.body))

        def answer_sts(call: Call) -> Answer | None:
            if b"Action=GetCallerIdentity" not in call.body:
                return None
            return identity(call.signed.keys, cluster.ACCOUNT, user)

        def answer_admin(call: Call) -> Answer:
            admin = Admin(
                runner=self._runner, registry=self._registry, hands=self._hands, about=self.about, stop=self.stop
            )
            return admin(call)

        parts: dict[str, Part] = {
            **self._beside.parts(),
            "batch": answer_batch,
            "logs": answer_logs,
            "ecs": answer_ecs,
            "sts": answer_sts,
            ADMIN_SERVICE: answer_admin,
        }
        return Front(self._keys, parts, self._moto, self._task_metadata)

    def _prepare_moto(self) -> None:
        """What a stack has beside Batch: the bucket, and the objects of an earlier life."""
        from moto.s3.models import s3_backends  # noqa: PLC0415  moto is loaded late on purpose

        for name in self._mirror.restore():
            _LOG.warning("%s was above 1 GiB: its name was kept, its bytes were not", name)
        backend = s3_backends[cluster.ACCOUNT]["aws"]
        if cluster.BUCKET not in backend.buckets:
            backend.create_bucket(cluster.BUCKET, cluster.REGION)

    def _show_log_groups(self) -> None:
        """Tell moto of our groups, so that it lists them among its own."""
        self._moto.ready()
        from moto.logs.models import logs_backends  # noqa: PLC0415  moto is loaded late on purpose

        backend = logs_backends[cluster.ACCOUNT][cluster.REGION]
        for name in self._logs.groups():
            if name not in backend.groups:
                backend.create_log_group(name, {})

    def _after_moto(self, call: Call, status: int) -> None:
        if call.signed.service == "s3" and 200 <= status < 300:
            self._mirror.note(call)
            self._beside.note(call)

    def _secret(self, arn: str) -> str:
        if arn == cluster.SECRET_ARN:
            return cast("str", self._store.fact("gang_secret"))
        self._moto.ready()
        from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  moto is loaded late on purpose

        try:
            backend = secretsmanager_backends[cluster.ACCOUNT][cluster.REGION]
            return str(backend.get_secret_value(arn, "", "")["SecretString"])
        except Exception as error:
            raise LookupError(f"unable to retrieve secret {arn}: {error}") from error


def _own_keys(store: Store) -> Keys:
    """The twin's key pair and the gang's secret: made at its first start, and the same from then on."""
    if store.fact("gang_secret") is None:
        made = new_keys()
        store.save_fact("access_key_id", made.access_key_id)
        store.save_fact("secret_access_key", made.secret_access_key)
        store.save_fact("gang_secret", new_keys("secret").session_token)
    return Keys(
        access_key_id=cast("str", store.fact("access_key_id")),
        secret_access_key=cast("str", store.fact("secret_access_key")),
    )


def _login() -> str:
    """Who runs the twin, by name; by number where the machine knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def main(argv: list[str]) -> int:
    home, options, ready = Home(root=Path(argv[0])), TwinOptions.from_text(argv[1]), int(argv[2])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # a page of a log is thousands of values without cycles; to look for cycles took 0.9 of its 3.3 us a line
    gc.set_threshold(100_000, 50, 1000)
    begun = time.monotonic()
    try:
        twin = Twin(home, options)
    except (RuntimeError, OSError) as error:
        os.write(ready, json.dumps({"error": str(error)}).encode())
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: twin.stop.set())
    os.write(ready, json.dumps({**twin.about(), "seconds": round(time.monotonic() - begun, 3)}).encode())
    os.close(ready)
    twin.stop.wait()
    twin.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
