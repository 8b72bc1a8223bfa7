"""What a stack costs while nobody uses it, USD a month. Pure: registered resources in, items out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

HOURS: Final = 730
REGION: Final = "us-west-2"
DATE: Final = "2025-12"
SOURCE: Final = (
    "public list prices of us-west-2: aws.amazon.com/{vpc,privatelink,secrets-manager,cloudwatch,efs,fsx/lustre,ecr,"
    "systems-manager,config,aws-cost-management/aws-budgets}/pricing, as known at that date"
)

NAT_GATEWAY_HOUR: Final = 0.045
PUBLIC_ADDRESS_HOUR: Final = 0.005
ENDPOINT_HOUR: Final = 0.01  # for each zone
SECRET: Final = 0.40
ALARM_METRIC: Final = 0.10  # for each metric that an alarm looks at
DASHBOARD: Final = 3.00
FREE_DASHBOARDS: Final = 3  # an account, for ever
ADVANCED_PARAMETER: Final = 0.05  # above 4 KB
PARAMETER_BYTES: Final = 4096
EFS_PROVISIONED_MIBPS: Final = 6.00
SCRATCH_GIB: Final = 0.14
PERSISTENT_GIB: Final = 0.145  # of 125 MB/s for each TiB
ECR_GIB: Final = 0.10
IMAGE_GIB: Final = 1  # of one runtime image, compressed: generous
BUDGET_ACTION_DAY: Final = 0.10
CONFIG_RULE_EVALUATION: Final = 0.001  # the recorder's items cost 0.003 each: both by use


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that costs without use."""

    what: str
    count: float
    usd: float


Resource = tuple[str, Mapping[str, Any]]  # type token and inputs


def idle(resources: Iterable[Resource]) -> list[Item]:
    """Items of a stack that runs nothing and stores nothing but its images; what costs nothing is left out."""
    found: dict[str, list[float]] = {}
    for token, inputs in resources:
        kind = token.rsplit(":", maxsplit=1)[-1]
        if (price := PRICES.get(kind)) is not None and (usd := price(inputs)):
            found.setdefault(kind, []).append(usd)
    return [Item(what=kind, count=len(each), usd=round(sum(each), 2)) for kind, each in sorted(found.items())]


def total(items: Iterable[Item]) -> float:
    return round(sum(item.usd for item in items), 2)


def _endpoint(inputs: Mapping[str, Any]) -> float:
    interface = inputs.get("vpcEndpointType") == "Interface"
    return ENDPOINT_HOUR * HOURS * len(inputs.get("subnetIds", [])) if interface else 0.0


def _alarm(inputs: Mapping[str, Any]) -> float:
    metrics = [query for query in inputs.get("metricQueries", []) if "metric" in query]
    return ALARM_METRIC * max(len(metrics), 1)


def _parameter(inputs: Mapping[str, Any]) -> float:
    return ADVANCED_PARAMETER if len(str(inputs.get("value", ""))) > PARAMETER_BYTES else 0.0


def _lustre(inputs: Mapping[str, Any]) -> float:
    gib = SCRATCH_GIB if inputs.get("deploymentType") == "SCRATCH_2" else PERSISTENT_GIB
    return gib * float(inputs.get("storageCapacity", 0))


PRICES: Final[Mapping[str, Callable[[Mapping[str, Any]], float]]] = {
    "NatGateway": lambda _: NAT_GATEWAY_HOUR * HOURS,
    "Eip": lambda _: PUBLIC_ADDRESS_HOUR * HOURS,
    "VpcEndpoint": _endpoint,
    "Secret": lambda _: SECRET,
    "MetricAlarm": _alarm,
    "Parameter": _parameter,
    "FileSystem": lambda inputs: EFS_PROVISIONED_MIBPS * float(inputs.get("provisionedThroughputInMibps") or 0),
    "LustreFileSystem": _lustre,
    "Image": lambda _: ECR_GIB * IMAGE_GIB,
    "BudgetAction": lambda _: BUDGET_ACTION_DAY * HOURS / 24,
}
