"""Wiring of a group's stack: components in order, outputs of one into the next. No components here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi

from infra.access import own
from infra.audit import Audit, AuditArgs
from infra.budget import Budget, BudgetArgs
from infra.card import Card, CardArgs
from infra.config import Egress, StackConfig
from infra.definitions import Defaults, definitions
from infra.facts import Facts
from infra.follower import Follower, FollowerArgs
from infra.foundation import Images, images, network, share
from infra.identity import Identity, IdentityArgs
from infra.jobs import Jobs, JobsArgs
from infra.logs import EventAccess, EventAccessArgs, Logs, LogsArgs
from infra.lustre import Lustre, LustreArgs
from infra.monitoring import Monitoring, MonitoringArgs
from infra.place import Place
from infra.pool import Pool, PoolArgs
from infra.queue_guard import guard
from infra.rights import Rights, RightsArgs
from infra.security import Security, SecurityArgs
from infra.storage import Storage, StorageArgs
from infra.team import Team, TeamArgs
from infra.topics import Topics, TopicsArgs
from workload.contract import QueuePriority

Outputs = dict[str, pulumi.Input[Any]]


def deploy(config: StackConfig, facts: Facts, root: Path) -> Outputs:
    """Everything of a stack; what it returns is the stack's outputs."""
    shared = pulumi.StackReference(config.keys.shared) if config.keys.shared else None
    place = network(config, facts, shared)
    made = images(config, facts, shared, root)
    emptied = guard(pulumi.Config("aws").get("profile"))  # here: also for a stack whose last pool has just been removed
    if config.shares_only:
        return _shared_stack(config, facts, place, made)
    return _group_stack(config, facts, place, made, emptied, root=root)


def _shared_stack(config: StackConfig, facts: Facts, place: Place, made: Images) -> Outputs:
    base, keys = config.names.base, config.keys
    where = {"region": facts.region, "account": facts.account, "partition": facts.partition}
    EventAccess(base, EventAccessArgs(scope="*", **where))
    if keys.audit:
        Audit(base, AuditArgs(stack=config.names.stack, keep=keys.keep_data, tags=config.tags, **where))
    return share(config, place, made)


def _group_stack(
    config: StackConfig, facts: Facts, place: Place, made: Images, emptied: pulumi.ResourceHook, *, root: Path
) -> Outputs:
    base, keys, names, tags = config.names.base, config.keys, config.names, config.tags
    where = {"region": facts.region, "account": facts.account, "partition": facts.partition}
    repositories = list(made.repository_arns.values())
    security = Security(
        base,
        SecurityArgs(
            vpc_id=place.vpc_id,
            cidr=place.cidr,
            s3_prefix_list=place.s3_prefix_list,
            open_egress=keys.egress is Egress.NAT,
            lustre=bool(keys.lustre_gib),
            tags=tags,
        ),
    )
    storage = Storage(
        base,
        StorageArgs(
            subnets=place.subnets,
            security_group_id=security.storage,
            prefix=names.prefix,
            waiting=names.waiting,
            access_points=[own(names.group), *keys.access_points],
            throughput_mibps=keys.efs_throughput_mibps,
            lifecycle_days=keys.efs_lifecycle_days,
            keep=keys.keep_data,
            tags=tags,
        ),
    )
    lustre = None
    if keys.lustre_gib:
        lustre = Lustre(
            base,
            LustreArgs(
                gib=keys.lustre_gib,
                kind=keys.lustre_type,
                subnet_id=place.subnets[config.pools[0].zones[0]],
                security_group_id=security.storage,
                bucket=storage.bucket,
                prefix=names.prefix,
                keep=keys.keep_data,
                tags=tags,
            ),
        )
    logs = Logs(base, LogsArgs(names=names, retention_days=keys.log_retention_days, tags=tags))
    identity = Identity(
        base,
        IdentityArgs(
            secret_name=names.gang_secret,
            account=facts.account,
            partition=facts.partition,
            keep=keys.keep_data,
            tags=tags,
        ),
    )
    rights = Rights(
        base,
        RightsArgs(
            job_role=identity.job_role,
            execution_role=identity.execution_role,
            bucket_arn=storage.bucket_arn,
            prefix=names.prefix,
            file_system=storage.file_system,
            file_system_arn=storage.file_system_arn,
            access_point_arn=storage.access_point_arn,
            secrets_arn=f"arn:{facts.partition}:secretsmanager:{facts.region}:{facts.account}:secret:{names.secrets}*",
            gang_secret_arn=identity.gang_secret_arn,
            repository_arns=repositories,
            log_group_arn=logs.jobs_arn,
            debug=keys.debug,
        ),
    )
    pools = {
        plan.name: Pool(
            f"{base}-{plan.name}",
            PoolArgs(
                plan=plan,
                names=names,
                subnet_ids=place.subnet_ids(plan.zones),
                security_group_id=security.nodes,
                instance_profile_arn=identity.instance_profile_arn,
                lustre_source=lustre.mount if lustre else "",
                keep=keys.keep_data,
                guard=emptied,
                depends_on=[*identity.ready, *storage.mount_targets],
                tags=tags,
            ),
        )
        for plan in config.pools
    }
    queues = [arn for pool in pools.values() for arn in pool.queue_arns.values()]
    wanted = definitions(config.pools, keys.images, names, _defaults(config))
    jobs = Jobs(
        base,
        JobsArgs(
            definitions=wanted,
            image_uris=made.uris,
            job_role_arn=identity.job_role.arn,
            execution_role_arn=identity.execution_role.arn,
            secret_arn=identity.gang_secret_arn,
            file_system=storage.file_system,
            access_point=storage.access_point,
            bucket=storage.bucket,
            log_group=names.log_group,
            region=facts.region,
            stack=names.stack,
            lustre=lustre is not None,
            debug=keys.debug,
            depends_on=[rights, *logs.ready],
            tags=tags,
        ),
    )
    topics = Topics(
        base, TopicsArgs(addresses=keys.alarm_addresses, spend=bool(keys.budget_usd), account=facts.account, tags=tags)
    )
    access = [] if keys.shared else [EventAccess(base, EventAccessArgs(scope=names.stack, **where))]
    monitoring = Monitoring(
        base,
        MonitoringArgs(
            names=names,
            region=facts.region,
            queue_names=[names.queue(plan.name, p) for plan in config.pools for p in QueuePriority],
            queue_arns=queues,
            instance_types=sorted({kind.name for plan in config.pools for kind in plan.types}),
            file_system=storage.file_system,
            event_log_group_arn=logs.events_arn,
            alarms_topic=topics.alarms,
            notices_topic=topics.notices,
            spend_topic_name=topics.spend.name if topics.spend else None,
            after_access=[*access, logs],
            tags=tags,
        ),
    )
    team = Team(
        base,
        TeamArgs(
            names=names,
            bucket_arn=storage.bucket_arn,
            file_system_arn=storage.file_system_arn,
            log_group_arns=[logs.jobs_arn, logs.events_arn],
            repository_arns=repositories,
            secret_arn=identity.gang_secret_arn,
            topic=topics.notices,
            budget_stops=keys.budget_stops,
            tags=tags,
            **where,
        ),
    )
    follower = Follower(
        base,
        FollowerArgs(
            names=names,
            scope=team.scope,
            queue_arns=queues,
            bucket=storage.bucket,
            root=root,
            retention_days=keys.log_retention_days,
            account=facts.account,
            tags=tags,
        ),
    )
    submitters = [team.scheduler_role.name, follower.role.name]
    if topics.spend:
        Budget(
            base,
            BudgetArgs(
                names=names,
                usd=keys.budget_usd,
                topic=topics.spend.arn,
                addresses=keys.alarm_addresses,
                stop_roles=[*submitters, *keys.budget_stop_roles] if keys.budget_stops else [],
                stop_policy_arn=team.stop_arn,
                account=facts.account,
                partition=facts.partition,
                tags=tags,
            ),
        )
    card = Card(
        base,
        CardArgs(
            names=names,
            region=facts.region,
            account=facts.account,
            pools=config.pools,
            definitions=wanted,
            queue_arns={name: pool.queue_arns for name, pool in pools.items()},
            definition_arns=jobs.arns,
            image_uris=made.uris,
            bucket=storage.bucket,
            file_system=storage.file_system,
            lustre=lustre.file_system if lustre else "",
            dashboard_url=monitoring.dashboard_url,
            topic=topics.notices,
            scheduler_role=team.scheduler_role.arn,
            tags=tags,
        ),
    )
    return {
        "card": card.content,
        "queues": {name: {p.name.lower(): arn for p, arn in pool.queue_arns.items()} for name, pool in pools.items()},
        "definitions": dict(jobs.arns),
        "images": dict(made.uris),
        "repositories": dict(made.repository_urls),
        "bucket": storage.bucket,
        "fileSystem": storage.file_system,
        "researcherPolicy": team.researcher_arn,
        "leadPolicy": team.lead_arn,
        "dashboard": monitoring.dashboard_url,
    }


def _defaults(config: StackConfig) -> Defaults:
    keys = config.keys
    return Defaults(
        mpi_nodes=keys.mpi_nodes,
        mpi_minutes=keys.mpi_timeout_minutes,
        parameterized_nodes=keys.parameterized_nodes,
        parameterized_minutes=keys.parameterized_timeout_minutes,
        parameters={
            "inputDataPath": keys.input_data_path,
            "outputDataPath": keys.output_data_path,
            "computeIntensity": keys.compute_intensity.value,
        },
        single_vcpus=keys.single_vcpus,
        single_memory_mib=keys.single_memory_mib,
        single_minutes=keys.single_timeout_minutes,
        attempts=keys.attempts,
    )
