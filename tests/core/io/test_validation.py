"""Values that a user gives: what is taken, and the one wording in which the rest is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from spikesim.errors import InputError
from spikesim.io import validation as v

SHARE = v.Limits(low=0, high=1)


@pytest.mark.parametrize(
    ("check", "value", "allowed"),
    [
        (v.whole, 1.0, "an integer"),
        (v.whole, True, "an integer"),
        (v.whole, "1", "an integer"),
        (v.whole, 2**64, "below 2**64"),
        (lambda value, what: v.whole(value, what, v.Limits(low=2)), 1, "at least 2"),
        (lambda value, what: v.whole(value, what, v.Limits(high=2**20)), 2**20 + 1, "at most 1048576"),
        (v.number, False, "a number"),
        (v.number, [1.0], "a number"),
        (v.number, float("nan"), "finite"),
        (v.number, float("-inf"), "finite"),
        (lambda value, what: v.number(value, what, SHARE), -0.1, "at least 0"),
        (lambda value, what: v.number(value, what, SHARE), 1.1, "at most 1"),
        (lambda value, what: v.number(value, what, v.Limits(above=0.5)), 0.5, "above 0.5"),
        (lambda value, what: v.number(value, what, SHARE), 10**400, "at most 1"),
        (v.flag, 1, "true or false"),
        (v.word, 1, "a text"),
        (v.word, "\udc80", "a text of Unicode: give it in UTF-8"),
        (lambda value, what: v.word(value, what, ("one", "two")), "three", "one of one, two"),
        (lambda value, what: v.word(value, what, ("one", "two")), ["one"], "one of one, two"),
        (lambda value, what: v.items(value, what, "integers", v.whole), 3, "a list of integers"),
        (
            lambda value, what: v.items(value, what, "integers", v.whole, filled=True),
            [],
            "a list of integers that is not empty",
        ),
        (lambda value, what: v.table(value, what, "[x]"), [{}], "one table, [x]"),
        (lambda value, what: v.tables(value, what), {"a": 1}, "a list of tables"),
        (lambda value, what: v.tables(value, what, "each under [[x]]"), [1], "a list of tables, each under [[x]]"),
    ],
)
def test_what_is_refused_is_named_with_its_value(check: Callable[[Any, str], Any], value: Any, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        check(value, "x")
    assert str(caught.value) == f"x is {v.shown(value)}; it must be {allowed}"


def test_what_is_taken_comes_back_in_its_type() -> None:
    assert v.whole(2**64 - 1, "x") == 2**64 - 1
    assert type(v.number(1, "x", SHARE)) is float
    assert v.flag(False, "x") is False
    assert v.word("größe", "x") == "größe"
    assert v.items((1, 2), "x", "integers", v.whole) == [1, 2]
    assert v.tables([{"a": 1}], "x") == [{"a": 1}]


def test_keys() -> None:
    v.require_keys({"a": 1}, ("a", "b"), "a layer", needed=("a",))
    with pytest.raises(InputError, match=r"^unknown key 'c' in a layer; its keys are a, b$"):
        v.require_keys({"a": 1, "c": 2}, ("a", "b"), "a layer")
    with pytest.raises(InputError, match=r"^unknown key 'model\.c' in model; its keys are a, b$"):
        v.require_keys({"c": 2}, ("a", "b"), "model", prefix="model.")
    with pytest.raises(InputError, match=r"^a layer has no b; it needs a, b$"):
        v.require_keys({"a": 1}, ("a", "b"), "a layer", needed=("a", "b"))


def test_a_value_is_shown_on_one_short_line() -> None:
    assert v.shown(None) == "missing"
    assert len(v.shown("x" * 10_000)) < 200
    assert "\n" not in v.shown({"a": "b\nc"})


def test_limits_are_named() -> None:
    assert str(v.Limits(above=0, high=64)) == "above 0, at most 64"
    assert str(v.Limits(low=2)) == "at least 2"
    assert str(v.Limits()) == ""
