"""Prices of instances, from AWS, kept in the home folder with their date. Unknown is said, never guessed.

The Price List API answers in us-east-1, eu-central-1 and ap-south-1 for all regions (API reference 2017-10-15). Spot
prices change by the minute and are the past's: DescribeSpotPriceHistory's newest, in the pool's zone.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from tutti.core.bill import Price
from tutti.home import Home, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tutti.cluster import Cluster

KEPT_S: Final = 7 * 86_400
SPOT_KEPT_S: Final = 3600
ENDPOINT_REGION: Final = "us-east-1"
SOURCE: Final = "AWS Price List"
SPOT_SOURCE: Final = "EC2 Spot price history"


class Prices:
    """Prices of one cluster's region. One call for each instance type, then from the home folder for a week."""

    def __init__(self, cluster: Cluster, environ: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._path: Path = Home.from_environment(environ).root / "prices" / f"{_place(cluster)}.json"
        self._kept: dict[str, dict[str, Any]] = self._read()

    def hourly(self, instance_type: str, *, capacity: str = "on-demand", zone: str = "") -> Price | None:
        """USD an hour of one instance; None: not known (no permission, no such offer, Fargate)."""
        if not instance_type or capacity == "fargate":
            return None
        key = f"{instance_type}/{capacity}" + (f"/{zone}" if capacity == "spot" else "")
        kept = self._kept.get(key)
        if kept is None or time.time() - kept["asked"] > (SPOT_KEPT_S if capacity == "spot" else KEPT_S):
            price = self._spot(instance_type, zone) if capacity == "spot" else self._on_demand(instance_type)
            if price is None:
                return None
            kept = {"asked": time.time(), "price": vars(price)}
            self._kept[key] = kept
            write_private(self._path, json.dumps(self._kept, indent=1) + "\n")
        return Price(**kept["price"])

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _on_demand(self, instance_type: str) -> Price | None:
        wanted = {
            "instanceType": instance_type,
            "regionCode": self._cluster.card.region,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
        }
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        answer = self._asked("pricing", "get_products", ServiceCode="AmazonEC2", Filters=filters, MaxResults=10)
        found = {price for text in answer.get("PriceList", []) if (price := read_product(json.loads(text)))}
        return found.pop() if len(found) == 1 else None

    def _spot(self, instance_type: str, zone: str) -> Price | None:
        asked: dict[str, Any] = {
            "InstanceTypes": [instance_type],
            "ProductDescriptions": ["Linux/UNIX"],
            "MaxResults": 10,
        }
        if zone:
            asked["AvailabilityZone"] = zone
        history = self._asked("ec2", "describe_spot_price_history", **asked).get("SpotPriceHistory", [])
        if not history:
            return None
        newest = max(history, key=lambda item: item["Timestamp"])
        return Price(usd_per_hour=float(newest["SpotPrice"]), as_of=str(newest["Timestamp"])[:10], source=SPOT_SOURCE)

    def _asked(self, service: str, call: str, **arguments: Any) -> dict[str, Any]:
        """An answer, or an empty one where AWS does not give it: a price is a help, never a reason to fail."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  0.2 s, paid only here

        try:
            region = ENDPOINT_REGION if service == "pricing" else None
            answer: dict[str, Any] = getattr(self._cluster.client(service, region=region), call)(**arguments)
        except (BotoCoreError, ClientError):
            return {}
        return answer


def read_product(product: Mapping[str, Any]) -> Price | None:
    """The hourly On-Demand price in one product of the Price List; None where it has none or several."""
    offers = product.get("terms", {}).get("OnDemand", {}).values()
    dimensions = [d for offer in offers for d in offer.get("priceDimensions", {}).values() if d.get("unit") == "Hrs"]
    usd = {float(d["pricePerUnit"]["USD"]) for d in dimensions if "USD" in d.get("pricePerUnit", {})} - {0.0}
    if len(usd) != 1:
        return None
    return Price(usd_per_hour=usd.pop(), as_of=str(product.get("publicationDate", ""))[:10], source=SOURCE)


def _place(cluster: Cluster) -> str:
    """Prices of a twin are its own: they must not be taken for AWS's."""
    return f"twin-{cluster.card.stack}" if cluster.is_twin else cluster.card.region
