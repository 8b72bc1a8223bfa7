"""How two runs' inputs differ, in the user's words."""

from __future__ import annotations

from typing import Any

import pytest

from tutti.capsule import INPUTS, differences
from workload.contents import UNKNOWN, contents

HERE = "s3://lab/data"


def kept(**inputs: Any) -> dict[str, Any]:
    held = {f"{HERE}/{name}": value for name, value in inputs.items()}
    environment = [{"name": INPUTS, "value": str(sorted(held))}]
    return {
        "request": {"containerOverrides": {"environment": environment}},
        "image": "i",
        "inputs": held,
        "cluster": {},
        "card": {},
        "tutti": "1",
        "resumes": "",
    }


OLD = contents([("data/a/x", 1000, "1"), ("data/a/y", 500, "2")])
NEW = contents([("data/a/x", 1200, "3"), ("data/a/z", 1, "4")])


@pytest.mark.parametrize(
    ("one", "other", "first", "second"),
    [
        (OLD, NEW, "2 objects, 1,500 bytes", "2 objects, 1,201 bytes: data/a/y is gone; data/a/z was added; data/a/x changed"),
        (UNKNOWN, OLD, "not known", "2 objects, 1,500 bytes"),
        (contents([("data/a", 3, "1")]), contents([]), "1 object, 3 bytes", "0 objects, 0 bytes: data/a is gone"),
    ],
)  # fmt: skip
def test_an_input_that_differs_is_one_line_with_its_size_and_the_files_that_differ(
    one: Any, other: Any, first: str, second: str
) -> None:
    assert differences(kept(a=one, b=OLD), kept(a=other, b=OLD)) == [(f"input {HERE}/a", first, second)]


def test_an_input_of_one_run_alone_is_said_once_and_not_as_a_variable_too() -> None:
    assert differences(kept(a=OLD), kept(b=OLD)) == [
        (f"input {HERE}/a", "2 objects, 1,500 bytes", "-"),
        (f"input {HERE}/b", "-", "2 objects, 1,500 bytes"),
    ]
    assert differences(kept(a=OLD), kept(a=OLD)) == []
