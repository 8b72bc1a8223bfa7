"""Prices at a desk: AWS's list prices of a date, through the Price List API's own form."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tutti.prices import read_product
from tutti.twin.api.pricing import DATE, HOURLY
from tutti.twin.cluster import NODE_TYPE

Desk = Any


def match(field: str, value: str) -> dict[str, str]:
    return {"Type": "TERM_MATCH", "Field": field, "Value": value}


def products(desk: Desk, *filters: dict[str, str]) -> list[Any]:
    answer = desk.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=list(filters))
    return [json.loads(text) for text in answer["PriceList"]]


def test_the_price_of_a_node_is_told_with_its_date(desk: Desk) -> None:
    [product] = products(desk, match("instanceType", NODE_TYPE), match("regionCode", "us-east-1"))
    price = read_product(product)
    assert price is not None
    assert (price.usd_per_hour, price.as_of) == (float(HOURLY[NODE_TYPE]), DATE)


def test_other_types_and_regions_have_no_price(desk: Desk) -> None:
    assert products(desk, match("instanceType", "p5.48xlarge")) == []
    assert products(desk, match("instanceType", NODE_TYPE), match("regionCode", "eu-west-1")) == []
    assert products(desk, match("instanceType", NODE_TYPE), match("operatingSystem", "Windows")) == []


def test_other_calls_are_refused_in_words(desk: Desk) -> None:
    pricing = desk.client("pricing")
    with pytest.raises(ClientError, match="AmazonEC2 alone"):
        pricing.get_products(ServiceCode="AmazonS3")
    with pytest.raises(ClientError, match="the twin does not do DescribeServices"):
        pricing.describe_services()
