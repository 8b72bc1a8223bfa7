"""Running the Pulumi program under mocks that answer as AWS does: ARNs of its shapes, instance types from EC2's table."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import yaml
from moto.ec2.models.instance_types import INSTANCE_TYPES
from pulumi.runtime import mocks, rpc
from pulumi.runtime import settings as pulumi_settings

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-west-2"
ACCOUNT = "123456789012"
VPC = "vpc-0123456789abcdef0"
SUBNETS = {"subnet-a": f"{REGION}a", "subnet-b": f"{REGION}b", "subnet-b2": f"{REGION}b", "subnet-c": f"{REGION}c"}
PUBLIC_SUBNETS = {"subnet-c"}
VPCS: dict[str, dict[str, Any]] = {
    VPC: {"cidrBlock": "10.99.0.0/16", "enableDnsSupport": True, "enableDnsHostnames": True},
    "vpc-0nameless000000000": {"cidrBlock": "10.98.0.0/16", "enableDnsSupport": True, "enableDnsHostnames": False},
}
DIGEST = "sha256:" + "0" * 64
SECRET = rpc._special_sig_key

# How AWS writes the ARNs of what has other ARNs than service:region:account:name.
ARNS: dict[str, str] = {
    "aws:s3/bucket:Bucket": "arn:aws:s3:::{name}",
    "aws:iam/role:Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "aws:iam/policy:Policy": f"arn:aws:iam::{ACCOUNT}:policy/{{name}}",
    "aws:iam/instanceProfile:InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/{{name}}",
    "aws:efs/fileSystem:FileSystem": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/{{id}}",
    "aws:efs/accessPoint:AccessPoint": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/{{id}}",
    "aws:batch/jobQueue:JobQueue": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{{name}}",
    "aws:batch/computeEnvironment:ComputeEnvironment": f"arn:aws:batch:{REGION}:{ACCOUNT}:compute-environment/{{name}}",
    "aws:batch/jobDefinition:JobDefinition": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/{{name}}:1",
    "aws:cloudwatch/logGroup:LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}",
    "aws:secretsmanager/secret:Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{name}}-AbCdEf",
    "aws:ecr/repository:Repository": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{{name}}",
    "aws:sns/topic:Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}",
}
IDS = {"FileSystem": "fs-", "AccessPoint": "fsap-", "SecurityGroup": "sg-", "Vpc": "vpc-", "Subnet": "subnet-"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """One registered resource: what the program asked for, options included. `secrets`: inputs that are secret."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: Mapping[str, Any]
    secrets: frozenset[str] = frozenset()
    custom: bool = True
    protect: bool = False
    retained: bool = False
    ignored: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    before_delete: tuple[str, ...] = ()

    def json(self, key: str) -> Any:
        return json.loads(self.inputs[key])


@dataclass
class Deployment:
    """All that a program registered, in order, and what it exported."""

    resources: list[Made] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)  # URNs whose outputs were registered
    outputs: dict[str, Any] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)  # names of the registered ones

    def of(self, kind: str) -> list[Made]:
        """Resources whose type ends in `kind`: `of("Role")`, `of("batch/jobQueue:JobQueue")`."""
        return [r for r in self.resources if r.type == kind or r.type.endswith((f":{kind}", f"/{kind}"))]

    def one(self, kind: str, name: str = "") -> Made:
        found = [r for r in self.of(kind) if r.name.endswith(name)]
        assert len(found) == 1, f"{len(found)} of {kind} {name!r}: {[r.name for r in found]}"
        return found[0]


def plain(value: Any) -> Any:
    """Without Pulumi's wrapping of secrets, and with whole numbers as integers: the wire knows floats alone."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        wrapped = SECRET in value and "value" in value
        return plain(value["value"]) if wrapped else {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def computed(kind: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A resource's id and outputs, as its provider would give them."""
    short = kind.rsplit(":", 1)[1]
    named = str(inputs.get("name") or f"{name}-0000000")
    own = f"{IDS[short]}{name}" if short in IDS else named
    service = kind.split("/", maxsplit=1)[0].removeprefix("aws:")
    arn = ARNS.get(kind, f"arn:aws:{service}:{REGION}:{ACCOUNT}:{short.lower()}/{{name}}")
    more: dict[str, dict[str, Any]] = {
        "VpcEndpoint": {"prefixListId": "pl-s3"},
        "LaunchTemplate": {"latestVersion": 1},
        "LustreFileSystem": {"dnsName": f"{name}.fsx.local", "mountName": "abcdef"},
        "Repository": {"repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{named}", "registryId": ACCOUNT},
        "Image": {"repoDigest": f"{str(inputs.get('imageName', '')).rsplit(':', 1)[0]}@{DIGEST}"},
    }
    out = {"name": named, "arn": arn.format(name=named, id=own), "id": own, "bucket": named}
    return own, {**out, **inputs, **more.get(short, {})}


@cache
def instance_type(name: str) -> dict[str, Any] | None:
    """`getInstanceType`'s answer, from EC2's own table as moto keeps it."""
    if (row := INSTANCE_TYPES.get(name)) is None:
        return None
    network, cpu, gpus = row["NetworkInfo"], row["VCpuInfo"], row.get("GpuInfo", {}).get("Gpus", [])
    return {
        "defaultVcpus": cpu["DefaultVCpus"],
        "defaultCores": cpu["DefaultCores"],
        "memorySize": row["MemoryInfo"]["SizeInMiB"],
        "supportedArchitectures": row["ProcessorInfo"]["SupportedArchitectures"],
        "gpuses": [{"count": gpu["Count"], "manufacturer": "", "memorySize": 0, "name": gpu["Name"]} for gpu in gpus],
        "totalInstanceStorage": row.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        "enaSupport": network["EnaSupport"],
        "supportedPlacementStrategies": row["PlacementGroupInfo"]["SupportedStrategies"],
        "efaSupported": network["EfaSupported"],
        "efaMaximumInterfaces": network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0),
        "maximumNetworkCards": network["MaximumNetworkCards"],
        "maximumNetworkInterfaces": network["MaximumNetworkInterfaces"],
        "hypervisor": row.get("Hypervisor", ""),
    }


def answer(token: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """What AWS says to a lookup."""
    call = token.rsplit(":", maxsplit=1)[-1]
    if call == "getInstanceType":
        if (row := instance_type(args["instanceType"])) is None:
            raise LookupError(f"InvalidInstanceType: {args['instanceType']}")
        return {**args, **row}
    if call == "getSubnet":
        if args["id"] not in SUBNETS:
            raise LookupError(f"InvalidSubnetID.NotFound: {args['id']}")
        public = args["id"] in PUBLIC_SUBNETS
        return {**args, "vpcId": VPC, "availabilityZone": SUBNETS[args["id"]], "mapPublicIpOnLaunch": public}
    if call == "getVpc":
        if args["id"] not in VPCS:
            raise LookupError(f"no matching EC2 VPC found: {args['id']}")
        return {**args, **VPCS[args["id"]]}
    known: dict[str, dict[str, Any]] = {
        "getRegion": {"region": REGION},
        "getCallerIdentity": {"accountId": ACCOUNT},
        "getPartition": {"partition": "aws"},
        "getAvailabilityZones": {"names": [f"{REGION}{z}" for z in "cab"]},
        "getRouteTables": {"ids": ["rtb-1", "rtb-2"]},
        "getAuthorizationToken": {"userName": "AWS", "password": "x"},
    }
    return {**args, **known[call]}


@cache
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    return loaded


def configuration(stack: str = "dev", **overrides: Any) -> dict[str, str]:
    """The stack's configuration as the engine hands it over: schema defaults, then the stack's file, then overrides."""
    values: dict[str, Any] = {}
    for key, entry in schema()["config"].items():
        values[key if ":" in key else f"tutti:{key}"] = entry["value"] if "value" in entry else entry["default"]
    file = ROOT / f"Pulumi.{stack}.yaml"
    if file.exists():
        values |= yaml.safe_load(file.read_text())["config"]
    values |= {f"tutti:{key}": value for key, value in overrides.items()}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}


class Recorder(mocks.Mocks):
    """`preview`: nothing computed is known yet, so functions in `apply` do not run, as with the real engine."""

    def __init__(self, stacks: Mapping[str, Mapping[str, Any]], *, preview: bool) -> None:
        self.stacks, self.preview = stacks, preview

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        if args.typ == "pulumi:pulumi:StackReference":
            stack = args.inputs["name"]
            return stack, {"name": stack, "outputs": dict(self.stacks[stack]), "secretOutputNames": []}
        if args.custom is False:
            return None, {}
        own, outputs = computed(args.typ, args.name, plain(args.inputs))
        return (None, plain(args.inputs)) if self.preview else (own, outputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        try:
            return answer(args.token, args.args), []
        except LookupError as error:
            return {}, [("", str(error))]


class Monitor(mocks.MockMonitor):
    """Sees what the mocks are not shown: parents, options, and which components registered their outputs."""

    def __init__(self, deployment: Deployment, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.deployment = deployment

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  the name of gRPC's method
        raw = rpc.deserialize_properties(request.object, keep_unknowns=True)
        self.deployment.resources.append(
            Made(
                type=request.type,
                name=request.name,
                urn=self.make_urn(request.parent, request.type, request.name),
                parent=request.parent,
                inputs=plain(raw),
                secrets=frozenset(k for k, v in raw.items() if isinstance(v, dict) and SECRET in v),
                custom=request.custom,
                protect=request.protect,
                retained=request.retainOnDelete,
                ignored=tuple(request.ignoreChanges),
                after=tuple(request.dependencies),
                before_delete=tuple(request.hooks.before_delete),
            )
        )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]  # Pulumi's mocks are untyped

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802  as above
        self.deployment.hooks.append(request.name)
        return super().RegisterResourceHook(request)  # type: ignore[no-untyped-call]  # as above

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  as above
        self.deployment.finished.add(request.urn)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]  # as above


def deploy(
    build: Callable[[], object],
    config: Mapping[str, str] | None = None,
    *,
    stack: str = "dev",
    preview: bool = False,
    stacks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Deployment:
    """Run `build` as a Pulumi program to its end, in an event loop of its own: runs do not leak into each other."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    deployment = Deployment()
    recorder = Recorder(stacks or {}, preview=preview)
    try:
        mocks.set_mocks(recorder, project="tutti", stack=stack, preview=preview, monitor=Monitor(deployment, recorder))
        pulumi.runtime.set_all_config(dict(config or {}))

        @pulumi.runtime.test  # type: ignore[untyped-decorator]  # as above
        def program() -> pulumi.Output[None]:
            build()
            exported = dict(getattr(pulumi.runtime.get_root_resource(), "outputs", None) or {})
            return pulumi.Output.from_input(exported).apply(lambda known: deployment.outputs.update(plain(known)))

        program()
    except BaseException as error:  # noqa: BLE001  whatever it is, it goes on, without its frames
        raise error.with_traceback(None) from None  # a traceback would keep the loops of this run alive
    finally:
        pulumi_settings.reset_options()
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
        _collect()
    return deployment


def _collect() -> None:
    """Pulumi's mocks open an event loop in each worker thread and leave it to the collector, which complains."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    finally:
        sys.unraisablehook = hook
