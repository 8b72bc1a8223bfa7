"""Prices come from AWS with their date, are kept, and are unknown rather than guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tutti.core.bill import Price
from tutti.prices import Prices, read_product

PRODUCT = {
    "product": {"attributes": {"instanceType": "c7i.2xlarge"}},
    "publicationDate": "2026-11-01T00:00:00Z",
    "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": {"unit": "Hrs", "pricePerUnit": {"USD": "0.3570000000"}}}}}},
}  # fmt: skip


class Cards:
    stack, region = "dev", "us-east-1"


class Answers:
    """A cluster whose AWS answers what it is given, in the shape of the API's model, and counts."""

    is_twin = False
    card = Cards()

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]  # whatever was asked

    def client(self, service: str, **_: Any) -> Answers:
        self.asked.append(service)
        return self

    def get_products(self, **_: Any) -> dict[str, Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    describe_spot_price_history = get_products


def prices(answers: Answers, home: Path) -> Prices:
    return Prices(answers, {"TUTTI_HOME": str(home)})  # type: ignore[arg-type]  # stands in for a Cluster


def test_a_price_is_read_with_its_date() -> None:
    assert read_product(PRODUCT) == Price(usd_per_hour=0.357, as_of="2026-11-01", source="AWS Price List")


def test_a_product_with_two_prices_has_none() -> None:
    product = json.loads(json.dumps(PRODUCT))
    product["terms"]["OnDemand"]["X"] = {"priceDimensions": {"Y": {"unit": "Hrs", "pricePerUnit": {"USD": "9"}}}}
    assert read_product(product) is None


def test_a_price_is_asked_once_and_kept(tmp_path: Path) -> None:
    answers = Answers({"PriceList": [json.dumps(PRODUCT)]})
    first = prices(answers, tmp_path).hourly("c7i.2xlarge")
    again = prices(answers, tmp_path).hourly("c7i.2xlarge")
    assert first == again == Price(usd_per_hour=0.357, as_of="2026-11-01", source="AWS Price List")
    assert answers.asked == ["pricing"]


@pytest.mark.parametrize(
    "answer",
    [{"PriceList": []}, ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetProducts")],
    ids=["no such offer", "not allowed"],
)
def test_what_aws_does_not_say_is_not_known(tmp_path: Path, answer: dict[str, Any] | Exception) -> None:
    assert prices(Answers(answer), tmp_path).hourly("c7i.2xlarge") is None
    assert not (tmp_path / "prices").exists()


def test_fargate_and_mixed_pools_are_not_guessed(tmp_path: Path) -> None:
    answers = Answers()
    assert prices(answers, tmp_path).hourly("c7i.2xlarge", capacity="fargate") is None
    assert prices(answers, tmp_path).hourly("") is None
    assert answers.asked == []


def test_spot_is_the_newest_of_its_zone(tmp_path: Path) -> None:
    history = [
        {"Timestamp": "2026-11-02T10:00:00Z", "SpotPrice": "0.11"},
        {"Timestamp": "2026-11-03T10:00:00Z", "SpotPrice": "0.12"},
    ]
    found = prices(Answers({"SpotPriceHistory": history}), tmp_path).hourly(
        "c7i.large", capacity="spot", zone="us-east-1a"
    )
    assert found == Price(usd_per_hour=0.12, as_of="2026-11-03", source="EC2 Spot price history")


def test_a_torn_file_of_prices_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "us-east-1.json").write_text("{")
    assert prices(Answers({"PriceList": [json.dumps(PRODUCT)]}), tmp_path).hourly("c7i.2xlarge") is not None
