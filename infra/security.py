"""Security groups: the nodes' own, which admits itself and nobody else, and the file systems'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

NFS: Final = 2049
LUSTRE: Final = ((988, 988), (1018, 1023))
HTTPS: Final = 443


@dataclass(frozen=True, kw_only=True)
class SecurityArgs:
    """Inputs of Security. `open_egress`: nodes may reach the internet (NAT); else AWS's endpoints and S3 alone."""

    vpc_id: pulumi.Input[str]
    cidr: pulumi.Input[str]
    s3_prefix_list: pulumi.Input[str]
    open_egress: bool
    lustre: bool
    tags: Mapping[str, str]


class Security(pulumi.ComponentResource):
    """One group for instances and tasks alike: EFA, MPI and file systems need no more (aws-batch-facts 5, 6)."""

    nodes: pulumi.Output[str]
    storage: pulumi.Output[str]

    def __init__(self, name: str, args: SecurityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:network:Security", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        nodes = self._group("nodes", "Nodes of the group: each other, and out")
        storage = self._group("storage", "Shared file systems: from the group's nodes")
        # EFA asks for the group itself in both directions; an open egress rule does not stand in for it.
        self._ingress("nodes-self", nodes, nodes, "-1", None)
        self._egress("nodes-self", nodes, "the nodes themselves", "-1", None, group=nodes)
        self._ingress("nfs", storage, nodes, "tcp", (NFS, NFS))
        ports = LUSTRE if args.lustre else ()
        for first, last in ports:
            self._ingress(f"lustre-{first}", storage, nodes, "tcp", (first, last))
            self._ingress(f"lustre-self-{first}", storage, storage, "tcp", (first, last))
            self._egress(f"lustre-self-{first}", storage, "Lustre's servers", "tcp", (first, last), group=storage)
        if args.open_egress:
            self._egress("nodes-out", nodes, "the internet, through the NAT gateway", "-1", None, cidr="0.0.0.0/0")
        else:
            self._egress("nodes-aws", nodes, "AWS's endpoints", "tcp", (HTTPS, HTTPS), cidr=args.cidr)
            self._egress("nodes-s3", nodes, "S3", "tcp", (HTTPS, HTTPS), prefix_list=args.s3_prefix_list)
            for first, last in ((NFS, NFS), *ports):
                self._egress(f"nodes-{first}", nodes, "file systems", "tcp", (first, last), group=storage)
        self.nodes = nodes.id
        self.storage = storage.id
        self.register_outputs({"nodes": self.nodes, "storage": self.storage})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _group(self, what: str, description: str) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            f"{self._name}-{what}",
            vpc_id=self._args.vpc_id,
            description=description,
            tags=self._tags(what),
            opts=self._child,
        )

    def _ingress(
        self,
        what: str,
        group: aws.ec2.SecurityGroup,
        source: aws.ec2.SecurityGroup,
        protocol: str,
        ports: tuple[int, int] | None,
    ) -> None:
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{what}",
            security_group_id=group.id,
            referenced_security_group_id=source.id,
            description=f"from {'itself' if source is group else 'the nodes'}",
            ip_protocol=protocol,
            from_port=ports[0] if ports else None,
            to_port=ports[1] if ports else None,
            tags=self._tags(what),
            opts=self._child,
        )

    def _egress(
        self,
        what: str,
        source: aws.ec2.SecurityGroup,
        target: str,
        protocol: str,
        ports: tuple[int, int] | None,
        *,
        group: aws.ec2.SecurityGroup | None = None,
        cidr: pulumi.Input[str] | None = None,
        prefix_list: pulumi.Input[str] | None = None,
    ) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{what}",
            security_group_id=source.id,
            referenced_security_group_id=group.id if group else None,
            cidr_ipv4=cidr,
            prefix_list_id=prefix_list,
            description=f"to {target}",
            ip_protocol=protocol,
            from_port=ports[0] if ports else None,
            to_port=ports[1] if ports else None,
            tags=self._tags(what),
            opts=self._child,
        )
