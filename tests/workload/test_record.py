"""Records are what frozen dataclasses are to those who use them."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from workload.record import Record


class Point(Record):
    x: int
    y: int = 2


class Named(Point):
    name: str


def test_fields_are_given_by_name_and_defaults_fill_the_rest() -> None:
    assert (Point(x=1).x, Point(x=1).y, Point(x=1, y=5).y) == (1, 2, 5)
    assert vars(Point(y=3, x=1)) == {"x": 1, "y": 3}
    assert list(vars(Point(y=3, x=1))) == ["x", "y"]  # in the order of the class: so they are written
    assert Named.FIELDS == ("x", "y", "name")


@pytest.mark.parametrize(
    ("values", "named"), [({}, "missing or unknown: x"), ({"y": 1}, "missing or unknown: x"), ({"x": 1, "z": 2}, "z")]
)
def test_a_missing_or_an_unknown_field_is_named(values: dict[str, int], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        Point(**values)


def test_a_record_is_fixed_and_a_changed_copy_is_another() -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match="fixed"):
        point.x = 2  # type: ignore[misc]  # mypy says so too
    with pytest.raises(AttributeError, match="fixed"):
        del point.x
    assert (point.but(x=7).x, point.but(x=7).y, point.x) == (7, 2, 1)


def test_records_are_compared_by_class_and_value() -> None:
    assert Point(x=1) == Point(x=1, y=2)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1, name="")
    assert len({Point(x=1), Point(x=1, y=2), Point(x=3)}) == 2
    assert repr(Point(x=1)) == "Point(x=1, y=2)"


def test_plain_is_what_json_can_hold() -> None:
    class Line(Record):
        ends: tuple[Point, ...]
        names: MappingProxyType[str, str] = MappingProxyType({})

    plain = Line(ends=(Point(x=1), Point(x=2))).plain()
    assert json.loads(json.dumps(plain)) == {"ends": [{"x": 1, "y": 2}, {"x": 2, "y": 2}], "names": {}}
