"""The Price List API, as far as the client asks: what an instance of the twin's kind costs an hour on AWS.

A desk costs nothing. The numbers are AWS's list prices of `DATE`, so that an estimate, a limit and a bill are at the
desk what they would be there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tutti.twin.api import model
from tutti.twin.api.errors import ApiError
from tutti.twin.api.paging import paged, start_of

TARGET: Final = "AWSPriceListService."
DATE: Final = "2026-10-05"
# USD an hour, On-Demand, Linux, us-east-1. Not asked of AWS from here: it is what others have published that they read
# from the Price List API on that day (and, without a date, in several tables before it, all alike).
HOURLY: Final[Mapping[str, str]] = {"c7i.large": "0.0892500000"}
_PAGE: Final = 100
_SERVICE: Final = "AmazonEC2"
_TERM: Final = "JRTCKXETXF"  # On-Demand, in every SKU
_RATE: Final = "6YS6EN2CT7"  # by the hour


class Pricing:
    def __init__(self, region: str) -> None:
        self._region = region

    def answer(self, operation: str, body: bytes) -> dict[str, Any]:
        """The response to one request.

        Raises
        ------
        ApiError
            What the service would refuse, and every operation but GetProducts.

        """
        if operation != "GetProducts":
            raise ApiError(f"the twin does not do {operation}", code="NotImplementedException", status=501)
        request = json.loads(body or b"{}")
        model.check("pricing", operation, request)
        if request["ServiceCode"] != _SERVICE:
            raise ApiError(f"the twin has prices of {_SERVICE} alone", code="NotFoundException")
        wanted = {f["Field"]: f["Value"] for f in request.get("Filters", [])}
        products = [
            json.dumps(product)
            for name, usd in HOURLY.items()
            if _fits(product := _product(name, usd, self._region), wanted)
        ]
        start = start_of(request.get("NextToken"), code="InvalidNextTokenException")
        answer = paged("PriceList", products, start, request.get("MaxResults", _PAGE))
        return {"FormatVersion": "aws_v1", **{_CAPITAL.get(key, key): value for key, value in answer.items()}}


_CAPITAL: Final = {"nextToken": "NextToken"}


def _fits(product: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether every filter is met. All of them are TERM_MATCH to us: equal, case apart."""
    attributes = {"ServiceCode": _SERVICE, **product["product"]["attributes"]}
    return all(str(attributes.get(name, "")).lower() == value.lower() for name, value in wanted.items())


def _product(name: str, usd: str, region: str) -> dict[str, Any]:
    """One entry of a PriceList, in the form of AWS's offer files."""
    sku = f"TUTTI{name.upper().replace('.', '')}"
    offer = f"{sku}.{_TERM}"
    dimension = {
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${float(usd):.5f} per On Demand Linux {name} Instance Hour (list price of {DATE})",
        "appliesTo": [],
        "rateCode": f"{offer}.{_RATE}",
        "pricePerUnit": {"USD": usd},
    }
    return {
        "product": {
            "productFamily": "Compute Instance",
            "sku": sku,
            "attributes": {
                "instanceType": name,
                "regionCode": region,
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "servicecode": _SERVICE,
            },
        },
        "serviceCode": _SERVICE,
        "terms": {
            "OnDemand": {
                offer: {
                    "sku": sku,
                    "offerTermCode": _TERM,
                    "effectiveDate": f"{DATE}T00:00:00Z",
                    "termAttributes": {},
                    "priceDimensions": {f"{offer}.{_RATE}": dimension},
                }
            }
        },
        "version": DATE.replace("-", ""),
        "publicationDate": f"{DATE}T00:00:00Z",
    }
