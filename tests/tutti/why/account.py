"""An account as AWS answers for it: a healthy cluster on which a gang of four nodes has just begun to wait.

Each call that `tutti why` and `tutti doctor` make is answered from here, whatever their order, and botocore checks each
answer, request and refusal against AWS's own models. A test changes what AWS says, never what is made of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, Final, Self

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.validate import ParamValidator

from tutti.aws import DENIED
from tutti.cluster import Cluster
from workload.contract import Card, CardDefinition, CardQueue, PoolKind

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
ARN: Final = f"arn:aws:batch:{REGION}:{ACCOUNT}"
JOB: Final = "0a1b2c3d-0000-4000-8000-000000000001"
OTHER: Final = "0a1b2c3d-0000-4000-8000-000000000002"
ZONE: Final = "us-east-1a"
IMAGE: Final = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/tutti@sha256:" + "0" * 64
SECRET: Final = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:tutti-gang/dev-AbCdEf"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/tutti-dev-job"
POOL_TAGS: Final = {"Name": "dev-cpu", "tutti:stack": "dev"}
GROUP: Final = "sg-00000001"
SYSTEM: Final = "fs-00000001"
NODES: Final = 4
VCPUS: Final = 8

QUEUE: Final = CardQueue(
    name="dev-cpu-high", arn=f"{ARN}:job-queue/dev-cpu-high", pool="cpu", kind=PoolKind.MPI, priority=10,
    instance_types=("c7i.2xlarge",), zone=ZONE, max_vcpus=256, vcpus=VCPUS, cores=4, memory_mib=15000,
)  # fmt: skip
DEFINITION: Final = CardDefinition(
    name="dev-mpi", arn=f"{ARN}:job-definition/dev-mpi:1", kind="mpi", nodes=NODES, image="cpu", image_uri=IMAGE, mpis=(),
    timeout_s=3600, attempts=1, vcpus=VCPUS, memory_mib=15000,
)  # fmt: skip
CARD: Final = Card(
    stack="dev", group="dev", region=REGION, account=ACCOUNT, queues=(QUEUE,), definitions=(DEFINITION,), bucket="b", prefix="dev/",
    file_system=SYSTEM, log_group="/tutti/dev",
)  # fmt: skip

Answer = dict[str, Any]


class RefusedError(Exception):
    """AWS answers with an error: its code and message."""


class Account:
    """What there is in the account; the entries are AWS's own, and a test changes them in place."""

    def __init__(self) -> None:
        self.card = CARD
        now = int(time.time() * 1000)
        self.container: Answer = {
            "image": IMAGE,
            "jobRoleArn": ROLE,
            "resourceRequirements": [{"type": "VCPU", "value": str(VCPUS)}, {"type": "MEMORY", "value": "15000"}],
            "secrets": [{"name": "TUTTI_SECRET", "valueFrom": SECRET}],
            "volumes": [{"name": "shared", "efsVolumeConfiguration": {"fileSystemId": SYSTEM, "transitEncryption": "ENABLED"}}],
        }  # fmt: skip
        self.job = self.gang(JOB, status="RUNNABLE", createdAt=now - 60_000)
        self.jobs: dict[str, Answer] = {JOB: self.job}
        self.log: list[str] = []
        order = [{"order": 1, "computeEnvironment": f"{ARN}:compute-environment/dev-cpu"}]
        self.queue: Answer = {
            "jobQueueName": QUEUE.name, "jobQueueArn": QUEUE.arn, "state": "ENABLED", "status": "VALID",
            "statusReason": "JobQueue Healthy", "priority": 10, "computeEnvironmentOrder": order,
        }  # fmt: skip
        self.queues: list[Answer] = [self.queue]
        self.resources: Answer = {
            "type": "EC2", "maxvCpus": 256, "instanceTypes": ["c7i.2xlarge"], "subnets": ["subnet-00000001"],
            "securityGroupIds": [GROUP], "tags": POOL_TAGS,
        }  # fmt: skip
        self.environment: Answer = {
            "computeEnvironmentName": "dev-cpu", "computeEnvironmentArn": order[0]["computeEnvironment"], "type": "MANAGED",
            "state": "ENABLED", "status": "VALID", "statusReason": "ComputeEnvironment Healthy", "computeResources": self.resources,
        }  # fmt: skip
        self.environments: list[Answer] = [self.environment]
        self.front: list[Answer] = [{"jobArn": f"{ARN}:job/{JOB}", "earliestTimeAtPosition": now - 50_000}]
        self._network()
        self._storage()
        self.index: Answer = {"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}]}
        self.images: list[Answer] = [{"imageManifest": ""}]
        self.secret: Answer = {"ARN": SECRET, "Name": "tutti-gang/dev"}
        self.quota = 512.0
        self.instances: list[Answer] = []
        self.refused: dict[str, tuple[str, str]] = {}  # call -> code and message
        self.asked: list[tuple[str, str]] = []  # service and call

    def _network(self) -> None:
        self.subnet: Answer = {
            "SubnetId": "subnet-00000001", "VpcId": "vpc-1", "AvailabilityZone": ZONE, "AvailableIpAddressCount": 4000,
        }  # fmt: skip
        self.route: Answer = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}
        self.table: Answer = {
            "RouteTableId": "rtb-1", "VpcId": "vpc-1", "Associations": [{"Main": False, "SubnetId": "subnet-00000001"}],
            "Routes": [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}, self.route],
        }  # fmt: skip
        main = {"RouteTableId": "rtb-0", "VpcId": "vpc-1", "Associations": [{"Main": True}], "Routes": []}
        self.tables: list[Answer] = [main, self.table]
        self.endpoints: list[Answer] = []
        itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": GROUP}]}
        self.group: Answer = {"GroupId": GROUP, "IpPermissions": [itself], "IpPermissionsEgress": [itself]}
        nfs = {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [{"GroupId": GROUP}]}
        self.nfs_group: Answer = {"GroupId": "sg-0000efs1", "IpPermissions": [nfs]}

    def _storage(self) -> None:
        self.system: Answer = {
            "OwnerId": ACCOUNT, "CreationToken": "t", "FileSystemId": SYSTEM, "CreationTime": 0, "LifeCycleState": "available",
            "NumberOfMountTargets": 1, "SizeInBytes": {"Value": 0}, "PerformanceMode": "generalPurpose", "Tags": [],
        }  # fmt: skip
        self.target: Answer = {
            "MountTargetId": "fsmt-00000001", "FileSystemId": SYSTEM, "SubnetId": "subnet-00000001", "LifeCycleState": "available",
            "AvailabilityZoneName": ZONE,
        }  # fmt: skip
        self.targets: list[Answer] = [self.target]
        self.target_groups: dict[str, Answer] = {"fsmt-00000001": self.nfs_group}
        self.policy: Answer = {
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": ["elasticfilesystem:ClientMount"]}]
        }

    # ------------------------------------------------------------ what a test changes

    def gang(self, job_id: str, **entry: Any) -> Answer:
        """DescribeJobs' entry of a gang."""
        ranges = [{"targetNodes": "0:", "container": self.container}]
        return {
            "jobArn": f"{ARN}:job/{job_id}", "jobId": job_id, "jobName": "run", "jobQueue": QUEUE.arn, "startedAt": 0,
            "jobDefinition": DEFINITION.arn, "nodeProperties": {"numNodes": NODES, "mainNode": 0, "nodeRangeProperties": ranges},
            **entry,
        }  # fmt: skip

    def pool(self, instance_type: str, kind: PoolKind = PoolKind.MPI) -> None:
        """Another pool: of these instances, of this kind."""
        self.resources["instanceTypes"] = [instance_type]
        self.card = CARD.but(queues=(QUEUE.but(instance_types=(instance_type,), kind=kind),))

    def need(self, kind: str, value: int) -> None:
        """Ask for more of `kind`, a node."""
        next(r for r in self.container["resourceRequirements"] if r["type"] == kind)["value"] = str(value)

    def wait(self, minutes: float) -> None:
        """Let the job have waited for so long, all of it at its queue's head."""
        self.job["createdAt"] -= int(minutes * 60_000)
        for entry in self.front:
            entry["earliestTimeAtPosition"] = self.job["createdAt"]

    def another(self, **entry: Any) -> None:
        """A second gang in the queue."""
        self.jobs[OTHER] = self.gang(OTHER, createdAt=self.job["createdAt"] - 1000, **entry)

    def run_instances(self, count: int, **more: Any) -> None:
        """Instances of eight vCPUs that run, the pool's own but for `more`."""
        tags = [{"Key": key, "Value": value} for key, value in POOL_TAGS.items()]
        cpu = {"CoreCount": 4, "ThreadsPerCore": 2}
        self.instances += [{"InstanceType": "c7i.2xlarge", "CpuOptions": cpu, "Tags": tags, **more}] * count

    def private(self, *endpoints: str) -> list[Answer]:
        """No NAT gateway, but these interface endpoints, and S3's gateway: its endpoints."""
        self.table["Routes"].remove(self.route)
        name = f"com.amazonaws.{REGION}."
        self.endpoints = [
            {"ServiceName": name + endpoint, "VpcEndpointType": "Interface", "State": "available"} for endpoint in endpoints
        ]  # fmt: skip
        gateway = {
            "ServiceName": f"{name}s3",
            "VpcEndpointType": "Gateway",
            "State": "available",
            "RouteTableIds": ["rtb-1"],
        }
        self.endpoints.append(gateway)
        return self.endpoints

    def fail(
        self, code: int | None = None, reason: str = "Essential container in task exited", *, said: str = "", log: Sequence[str] = ()
    ) -> None:  # fmt: skip
        """The job's last attempt has ended so: its exit code, AWS's reason, the container's reason, main's last lines."""
        container: Answer = {"logStreamName": "dev-mpi/default/1"} if code is not None else {}
        container |= {"exitCode": code} if code is not None else {}
        container |= {"reason": said} if said else {}
        attempt = {"container": container, "startedAt": 1, "stoppedAt": 2, "statusReason": reason}
        self.job |= {
            "status": "FAILED",
            "statusReason": reason,
            "stoppedAt": 2,
            "attempts": [*self.job.get("attempts", []), attempt],
        }
        for index in range(NODES):
            main = {"attempts": self.job["attempts"], "container": container} if index == 0 else {}
            status = {"status": "FAILED", "statusReason": "Essential container in task exited"}
            self.jobs[f"{JOB}#{index}"] = {**self.job, "jobId": f"{JOB}#{index}", **status, "attempts": [], **main}
        self.log = list(log)

    def refuse(self, call: str, code: str, message: str = "no") -> None:
        self.refused[call] = code, message

    # ------------------------------------------------------------ what AWS answers

    def answer(self, service: str, call: str, asked: Mapping[str, Any]) -> Answer:
        """The answer to a call.

        Raises
        ------
        RefusedError
            AWS's error.
        """
        self.asked.append((service, call))
        if call in self.refused:
            raise RefusedError(*self.refused[call])
        answer: Answer = getattr(self, xform_name(call))(asked)
        return answer

    def describe_jobs(self, asked: Mapping[str, Any]) -> Answer:
        return {"jobs": [self.jobs[job] for job in asked["jobs"] if job in self.jobs]}

    def list_jobs(self, asked: Mapping[str, Any]) -> Answer:
        found = [
            {key: job[key] for key in ("jobId", "jobArn", "jobName", "status", "createdAt")}
            for job in self.jobs.values()
            if "#" not in job["jobId"]
            and (job["jobId"].startswith(f"{asked['arrayJobId']}:") if "arrayJobId" in asked else ":" not in job["jobId"])
            and asked.get("jobStatus") in {None, job["status"]}
        ]  # fmt: skip
        return {"jobSummaryList": found}

    def describe_job_queues(self, asked: Mapping[str, Any]) -> Answer:
        return {"jobQueues": [queue for queue in self.queues if queue["jobQueueName"] in asked["jobQueues"]]}

    def describe_compute_environments(self, asked: Mapping[str, Any]) -> Answer:
        wanted = asked["computeEnvironments"]
        return {"computeEnvironments": [e for e in self.environments if e["computeEnvironmentArn"] in wanted]}

    def get_job_queue_snapshot(self, asked: Mapping[str, Any]) -> Answer:
        return {"frontOfQueue": {"jobs": self.front}} if asked["jobQueue"] == QUEUE.name else {}

    def describe_job_definitions(self, _: Mapping[str, Any]) -> Answer:
        gang = self.gang(JOB)["nodeProperties"]
        name = {"jobDefinitionName": "dev-mpi", "jobDefinitionArn": DEFINITION.arn, "revision": 1, "type": "multinode"}
        return {"jobDefinitions": [{**name, "nodeProperties": gang}]}

    def describe_subnets(self, asked: Mapping[str, Any]) -> Answer:
        return {"Subnets": [self.subnet] if self.subnet["SubnetId"] in asked["SubnetIds"] else []}

    def describe_route_tables(self, _: Mapping[str, Any]) -> Answer:
        return {"RouteTables": self.tables}

    def describe_vpc_endpoints(self, _: Mapping[str, Any]) -> Answer:
        return {"VpcEndpoints": self.endpoints}

    def describe_security_groups(self, asked: Mapping[str, Any]) -> Answer:
        groups = [self.group, *self.target_groups.values()]
        return {"SecurityGroups": [group for group in groups if group["GroupId"] in asked["GroupIds"]]}

    def describe_instances(self, _: Mapping[str, Any]) -> Answer:
        return {"Reservations": [{"Instances": self.instances}]}

    def describe_instance_types(self, asked: Mapping[str, Any]) -> Answer:
        arm = {"c7g.2xlarge"}
        found = [
            {"InstanceType": name, "ProcessorInfo": {"SupportedArchitectures": ["arm64" if name in arm else "x86_64"]}}
            for name in asked["InstanceTypes"]
        ]
        return {"InstanceTypes": found}

    def describe_file_systems(self, _: Mapping[str, Any]) -> Answer:
        return {"FileSystems": [self.system]}

    def describe_mount_targets(self, _: Mapping[str, Any]) -> Answer:
        return {"MountTargets": self.targets}

    def describe_mount_target_security_groups(self, asked: Mapping[str, Any]) -> Answer:
        return {"SecurityGroups": [self.target_groups[asked["MountTargetId"]]["GroupId"]]}

    def describe_file_system_policy(self, asked: Mapping[str, Any]) -> Answer:
        return {"FileSystemId": asked["FileSystemId"], "Policy": json.dumps(self.policy)}

    def batch_get_image(self, _: Mapping[str, Any]) -> Answer:
        return {"images": [{**image, "imageManifest": json.dumps(self.index)} for image in self.images]}

    def get_download_url_for_layer(self, asked: Mapping[str, Any]) -> Answer:
        return {"downloadUrl": "https://127.0.0.1:1/layer", "layerDigest": asked["layerDigest"]}

    def describe_secret(self, _: Mapping[str, Any]) -> Answer:
        return self.secret

    def get_service_quota(self, asked: Mapping[str, Any]) -> Answer:
        return {"Quota": {"QuotaCode": asked["QuotaCode"], "Value": self.quota}}

    def get_log_events(self, asked: Mapping[str, Any]) -> Answer:
        main = asked["logStreamName"] == "dev-mpi/default/1"
        return {"events": [{"timestamp": n, "message": line} for n, line in enumerate(self.log)] if main else []}


class AnsweredCluster(Cluster):
    """The client's own cluster, with boto3's own clients, whose calls end in `account` and not on the network."""

    def __init__(self) -> None:
        super().__init__(CARD)
        self.account = Account()

    def of(self, account: Account) -> Self:
        """The same clients, for another account."""
        self.account, self.card = account, account.card
        return self

    @cached_property
    def _boto(self) -> boto3.Session:
        session = boto3.Session(region_name=REGION, aws_access_key_id="a", aws_secret_access_key="s")
        session.events.register("before-parameter-build", self._keep)
        session.events.register("before-call", self._answer)  # type: ignore[arg-type]  # its answer is taken for the call's
        return session

    @staticmethod
    def _keep(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _answer(self, model: Any, context: Mapping[str, Any], **_: Any) -> tuple[AWSResponse, Answer]:
        service = model.service_model.service_name
        try:
            answer = self.account.answer(service, model.name, context["asked"])
        except RefusedError as refusal:
            code, message = refusal.args
            known = {shape.error_code for shape in model.error_shapes} | DENIED
            assert code in known or service == "ec2", f"{service} has no error {code}"  # EC2's model lists none
            return AWSResponse("", 400, HTTPHeaders(), None), {"Error": {"Code": code, "Message": message}}
        if wrong := ParamValidator().validate(answer, model.output_shape).generate_report():
            raise AssertionError(f"AWS's model of {service}.{model.name} knows no such answer: {wrong}")
        return AWSResponse("", 200, HTTPHeaders(), None), deepcopy(answer)
