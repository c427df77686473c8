"""What pydantic finds wrong, in one line."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nanoemox.files.validation import first_wrong


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Closed):
    label: str
    votes: int = Field(0, ge=0)


class Outer(Closed):
    name: str
    one: Inner | None = None
    many: list[Inner] = []
    shares: dict[str, float] = {}

    @model_validator(mode="after")
    def _named(self) -> Outer:
        if self.name == "nobody":
            raise ValueError("Expected a name\nof somebody; give one")
        return self


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({}, "name: field required"),
        ({"name": 5}, "name: input should be a valid string, got 5"),
        ({"nmae": "a"}, "unknown key 'nmae' (known: name, one, many, shares); look elsewhere (and 1 more)"),
        ({"name": "a", "one": {"lable": "x", "label": "y"}}, "unknown key 'one.lable' (known: label, votes)"),
        (
            {"name": "a", "many": [{"label": "x"}, {"label": "y", "vote": 1}]},
            "unknown key 'many.1.vote' (known: label, votes)",
        ),
        (
            {"name": "a", "many": [{"votes": -1}]},
            "many.0.label: field required (and 1 more)",
        ),
        (
            {"name": "a", "shares": {"x": "y" * 100}},
            "shares.x: input should be a valid number, unable to parse string as a number, got '" + "y" * 59,
        ),
        ({"name": "nobody"}, "expected a name of somebody; give one"),
        ([], "input should be a valid dictionary or instance of Outer, got []"),
    ],
)
def test_the_first_thing_that_is_wrong(data: Any, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    assert first_wrong(caught.value, Outer, "look elsewhere") == line


def test_without_a_place_for_other_keys() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"name": "a", "x": 1})
    assert first_wrong(caught.value, Outer) == "unknown key 'x' (known: name, one, many, shares)"


def test_broken_json() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json("{")
    line = first_wrong(caught.value, Outer)
    assert line.startswith("invalid JSON: ") and "got" not in line
