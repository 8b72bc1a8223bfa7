"""A cluster as the client knows it: its card, from the home folder or SSM, and boto3 clients that speak to it.

One path for AWS and the twin: a twin's card brings endpoint and keys, and nothing else differs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tutti import notebook
from tutti.aws import told
from tutti.errors import InputError, NotFoundError, Problem, likely
from tutti.home import Home, write_private
from workload.contract import Card, card_parameter

if TYPE_CHECKING:
    from boto3.session import Session
    from types_boto3_batch.client import BatchClient
    from types_boto3_logs.client import CloudWatchLogsClient
    from types_boto3_s3.client import S3Client

CLUSTER_VARIABLE: Final = "TUTTI_CLUSTER"  # of the client alone: which cluster's card
CONNECT_S: Final = 5
READ_S: Final = 60
TRIES: Final = 8  # botocore backs off and tries again: throttling, 5xx, broken connections
REGION: Final = "Give one: --region REGION, export AWS_REGION=..., or aws configure"
TWIN_TRIES: Final = 3  # it is here or it is not


class Cluster:
    """A card and the clients that go with it. Clients are made when first used, and again after `renew`."""

    def __init__(self, card: Card, *, profile: str | None = None) -> None:
        self.card = card
        self._profile = profile
        self._clients: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Cluster({self.card.stack!r}, region={self.card.region!r}, queues={len(self.card.queues)})"

    def _repr_html_(self) -> str:
        return notebook.cluster(self.card)

    @classmethod
    def current(cls, environ: Mapping[str, str] | None = None, *, name: str | None = None) -> Self:
        """The cluster of `name`, else of TUTTI_CLUSTER, else the one in use, else the only one known.

        Raises
        ------
        NotFoundError
            none is known, or not this one.
        InputError
            its card cannot be read.
        """
        where = os.environ if environ is None else environ
        home = Home.from_environment(where)
        return cls(read_card(home.card(chosen(home, where, name))), profile=where.get("AWS_PROFILE"))

    @classmethod
    @told
    def from_stack(cls, stack: str, *, region: str | None = None, profile: str | None = None) -> Self:
        """The cluster of a deployed stack, its card read from SSM.

        Raises
        ------
        NotFoundError
            no such stack in this region.
        """
        session = _session(profile, region)
        ssm = session.client("ssm")
        try:
            text = ssm.get_parameter(Name=card_parameter(stack))["Parameter"].get("Value", "")
        except ssm.exceptions.ParameterNotFound as error:
            raise NotFoundError(
                f"no stack {stack!r} in region {session.region_name}: SSM has no parameter {card_parameter(stack)}. "
                "Give the right region: tutti cluster use NAME --region REGION"
            ) from error
        return cls(card_from_text(text, card_parameter(stack)), profile=profile)

    def save(self, environ: Mapping[str, str] | None = None) -> Path:
        """Keep the card in the home folder and use it from now on."""
        home = Home.from_environment(os.environ if environ is None else environ)
        path = home.card(self.card.stack)
        write_private(path, json.dumps(self.card.to_json(), indent=1) + "\n")
        write_private(home.current, self.card.stack + "\n")
        return path

    @property
    def is_twin(self) -> bool:
        return self.card.twin is not None

    @property
    def poll_s(self) -> float:
        """Seconds between two looks at a running job: AWS allows few calls a second, the twin is ours."""
        return 0.2 if self.is_twin else 3.0

    @property
    def batch(self) -> BatchClient:
        client: BatchClient = self.client("batch")
        return client

    @property
    def submitter(self) -> BatchClient:
        """Batch without retries: a submission must not be sent twice (`tutti.batch.send`)."""
        client: BatchClient = self.client("batch", tries=1)
        return client

    @property
    def logs(self) -> CloudWatchLogsClient:
        client: CloudWatchLogsClient = self.client("logs")
        return client

    @property
    def s3(self) -> S3Client:
        client: S3Client = self.client("s3")
        return client

    @cached_property
    def user(self) -> str:
        """Who submits, as IAM compares it: `UserId` of GetCallerIdentity. One call, when it is first asked for."""
        identity: str = self.client("sts").get_caller_identity()["UserId"]
        return identity

    def client(self, service: str, *, tries: int | None = None, region: str | None = None) -> Any:
        """A boto3 client of any service, with the card's region (or a service's only one) and a twin's endpoint."""
        tries = tries or (TWIN_TRIES if self.is_twin else TRIES)
        key = f"{service}/{tries}/{region or ''}"
        if key not in self._clients:
            from botocore.config import Config  # noqa: PLC0415  0.3 s: only for commands that speak to AWS

            config = Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"mode": "standard", "total_max_attempts": tries},
                max_pool_connections=32,
                s3={"addressing_style": "path" if self.is_twin else "auto"},
            )
            self._clients[key] = self._boto.client(service, region_name=region, config=config, **self._endpoint())  # type: ignore[call-overload]  # the service's name is only known when it runs
        return self._clients[key]

    def renew(self) -> None:
        """Forget the clients: the next ones read the credentials again."""
        self._clients.clear()
        self.__dict__.pop("_boto", None)

    @cached_property
    def _boto(self) -> Session:
        return _session(None if self.is_twin else self._profile, self.card.region)

    def _endpoint(self) -> dict[str, str]:
        twin = self.card.twin
        if twin is None:
            return {}
        return {
            "endpoint_url": twin.endpoint,
            "aws_access_key_id": twin.access_key_id,
            "aws_secret_access_key": twin.secret_access_key,
        }


def chosen(home: Home, environ: Mapping[str, str], name: str | None) -> str:
    """The name of the cluster to use.

    Raises
    ------
    NotFoundError
        none is known, or not this one; several, and none is in use.
    """
    known = known_clusters(home)
    wanted = name or environ.get(CLUSTER_VARIABLE)
    if wanted is None and home.current.is_file():
        wanted = home.current.read_text(encoding="utf-8").strip()
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted in known:
        return wanted
    if not known:
        raise NotFoundError(
            "no cluster is known here. Start one at your desk: tutti twin up. "
            "Or use a deployed stack: tutti cluster use NAME"
        )
    if wanted is None:
        raise NotFoundError(f"several clusters are known: {', '.join(known)}. Choose one: tutti cluster use NAME")
    raise NotFoundError(
        f"no cluster {wanted!r} is known here{likely(wanted, known)}; known: {', '.join(known)}. "
        f"Fetch it: tutti cluster use {wanted}"
    )


def known_clusters(home: Home) -> list[str]:
    """Names of the cards in the home folder."""
    return sorted(path.stem for path in home.clusters.glob("*.json")) if home.clusters.is_dir() else []


def read_card(path: Path) -> Card:
    """The card in a file.

    Raises
    ------
    NotFoundError
        no such file.
    InputError
        not a card, or one of a newer version.
    """
    try:
        return card_from_text(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise NotFoundError(f"the cluster card {path} cannot be read: {error.strerror}") from error


def card_from_text(text: str, name: str) -> Card:
    """The card in a text that came from `name`.

    Raises
    ------
    InputError
        not a card, or one of a newer version.
    """
    try:
        return Card.from_json(json.loads(text))
    except json.JSONDecodeError as error:
        what = f"is no cluster card: not JSON from line {error.lineno} on ({error.msg})"
        remedy = "Fetch it again: tutti cluster use NAME; a twin's: tutti twin down, then up"
        raise InputError([Problem(where=name, what=what, remedy=remedy)]) from error
    except (ValueError, AttributeError) as error:
        raise InputError([Problem(where=name, what=str(error))]) from error


def _session(profile: str | None, region: str | None) -> Session:
    import boto3  # noqa: PLC0415  0.3 s: only for commands that speak to AWS

    # AWS_REGION is what the AWS CLI and every other SDK read; boto3 knows AWS_DEFAULT_REGION alone
    session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
    if session.region_name is None:
        raise InputError([Problem(where="", what="no AWS region is set", remedy=REGION)])
    return session
