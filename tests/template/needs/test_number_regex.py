"""Regular expressions of bounds match exactly the numbers within them."""

import re
from decimal import Decimal

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from template.needs.number_regex import match_integers, match_numbers

BOUNDS = st.none() | st.integers(-2000, 2000) | st.decimals(-20, 20, places=3).map(float)
NUMBERS = st.decimals(-3000, 3000, places=4) | st.decimals(-25, 25, places=2)


def is_within(number, low, high):
    lowest, highest = (None if each is None else Decimal(repr(each)) for each in (low, high))
    return (low is None or number >= lowest) and (high is None or number <= highest)


def in_order(low, high):
    return (high, low) if None not in (low, high) and low > high else (low, high)


@given(BOUNDS, BOUNDS, NUMBERS)
@example(0, 1, Decimal("1.0"))
@example(0.05, 0.95, Decimal("0.949"))
@example(-1, -0.5, Decimal("-0.5"))
def test_numbers(low, high, number):
    low, high = in_order(low, high)
    regex = match_numbers(low, high)
    for text in {f"{number:f}", f"{number.normalize():f}"} - {"-0", "-0.0", "-0.00", "-0.0000"}:
        matches = bool(re.fullmatch(regex, text))
        assert matches == is_within(Decimal(text), low, high), (regex, text)
        assert bool(re2.fullmatch(regex, text)) == matches


@given(BOUNDS, BOUNDS, st.integers(-3000, 3000))
@example(1, None, 0)
@example(0.5, 0.7, 0)
@example(0.5, 1, 1)
@example(-0.5, 0.5, 0)
@example(-5, -5, -5)
def test_integers(low, high, number):
    low, high = in_order(low, high)
    try:
        regex = match_integers(low, high)
    except ValueError:
        assert not any(is_within(each, low, high) for each in range(-2001, 2002))
    else:
        assert bool(re.fullmatch(regex, str(number))) == is_within(number, low, high), regex


@pytest.mark.parametrize("text", ["", "-", "a", "1e", "0x1", "1_0", "nan", "inf", ".", ".5", "1 "])
def test_what_is_no_number_matches_nothing(text):
    for low, high in ((None, None), (0, None), (None, 5), (-3, 0.5)):
        assert not re.fullmatch(match_numbers(low, high), text)
        assert not re.fullmatch(match_integers(low, high), text)


def test_without_bounds_there_may_be_an_exponent():
    assert re.fullmatch(match_numbers(None, None), "1e-3")
    assert not re.fullmatch(match_integers(None, None), "1e3")
