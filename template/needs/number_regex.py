"""Regular expressions for numbers within bounds, which Python and POSIX egrep read alike.

They let a form and the service, which can check only expressions, refuse what the model would
refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal

_NUMBER = r"^-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?$"
_ZERO = Decimal(0)
_INTEGER = r"^-?(0|[1-9][0-9]*)$"


def match_numbers(minimum: float | None, maximum: float | None) -> str:
    """Return an expression for decimals within bounds; only without bounds it has exponents."""
    if minimum is None and maximum is None:
        return _NUMBER
    return _match(minimum, maximum, _between)


def match_integers(minimum: float | None, maximum: float | None) -> str:
    """Return an expression for whole numbers within bounds.

    Raises:
        ValueError: there are none.
    """
    if minimum is None and maximum is None:
        return _INTEGER
    return _match(minimum, maximum, _integers)


def to_decimal(number: float) -> Decimal:
    """Return a number exactly as written: 0.1 is a tenth."""
    return Decimal(repr(number))


def _match(
    minimum: float | None, maximum: float | None, match: Callable[[Decimal, Decimal | None], str]
) -> str:
    low = None if minimum is None else to_decimal(minimum)
    high = None if maximum is None else to_decimal(maximum)
    parts = []
    if high is None or high >= 0:
        parts.append(match(max(low or _ZERO, _ZERO), high))
    if low is None or low < 0:
        negative = match(max(-(high or _ZERO), _ZERO), None if low is None else -low)
        parts.append(f"-{_group(negative)}" if negative else "")
    if not any(parts):
        raise ValueError(f"no whole number is from {minimum} to {maximum}")
    return f"^{_group('|'.join(filter(None, parts)))}$"


def _between(low: Decimal, high: Decimal | None) -> str:
    """Return an expression for numbers of 0 or more, from ``low`` to ``high``."""
    first, first_digits = _split(low)
    if high is None:
        last, last_digits = None, None
    else:
        last, last_digits = _split(high)
    if last == first:
        return _with_fraction(first, first_digits, last_digits)
    parts = [_with_fraction(first, first_digits, None)]
    rest = _integers(Decimal(first + 1), None if last is None else Decimal(last - 1))
    if rest:
        parts.append(rf"{_group(rest)}(\.[0-9]*)?")
    if last is not None:
        parts.append(_with_fraction(last, "", last_digits))
    return "|".join(parts)


def _split(number: Decimal) -> tuple[int, str]:
    whole, _, digits = format(number, "f").partition(".")
    return int(whole), digits.rstrip("0")


def _with_fraction(whole: int, low: str, high: str | None) -> str:
    fraction = rf"\.{_group(_digits(low, high))}"
    return f"{whole}{fraction}" if low else f"{whole}({fraction})?"


def _digits(low: str, high: str | None) -> str:
    """Return an expression for digits with ``low`` <= 0.digits <= ``high``; None is unlimited."""
    if high is None and not low:
        return "[0-9]*"
    if high == "" and not low:
        return "0*"
    following: dict[tuple[str, str | None], list[int]] = {}
    lowest, highest = int(low[:1] or 0), 9 if high is None else int(high[:1] or 0)
    for digit in range(lowest, highest + 1):
        rest_low = low[1:] if digit == lowest else ""
        rest_high = None if high is None or digit < highest else high[1:]
        following.setdefault((rest_low, rest_high), []).append(digit)
    parts = [_class(digits) + _group(_digits(*rest)) for rest, digits in following.items()]
    if not low:
        parts.append("")
    return "|".join(parts)


def _integers(low: Decimal, high: Decimal | None) -> str:
    """Return an expression for whole numbers of 0 or more; "" if there are none."""
    first, last = math.ceil(low), None if high is None else math.floor(high)
    if last is not None and last < first:
        return ""
    shortest, longest = len(str(first)), None if last is None else len(str(last))
    if last is None or longest is None:
        return "|".join([_same_length(str(first), "9" * shortest), rf"[1-9][0-9]{{{shortest},}}"])
    parts = []
    for length in range(shortest, longest + 1):
        smallest = str(first) if length == shortest else f"1{'0' * (length - 1)}"
        largest = str(last) if length == longest else "9" * length
        parts.append(_same_length(smallest, largest))
    return "|".join(parts)


def _same_length(low: str, high: str) -> str:
    if not low:
        return ""
    rest = len(low) - 1
    if low == f"{low[0]}{'0' * rest}" and high == f"{high[0]}{'9' * rest}":
        return _class(range(int(low[0]), int(high[0]) + 1)) + _any(rest)
    if low[0] == high[0]:
        return low[0] + _group(_same_length(low[1:], high[1:]))
    parts = [low[0] + _group(_same_length(low[1:], "9" * rest))]
    if int(high[0]) - int(low[0]) > 1:
        between = _class(range(int(low[0]) + 1, int(high[0])))
        parts.append(between + _any(rest))
    parts.append(high[0] + _group(_same_length("0" * rest, high[1:])))
    return "|".join(parts)


def _any(digits: int) -> str:
    return {0: "", 1: "[0-9]"}.get(digits, f"[0-9]{{{digits}}}")


def _group(regex: str) -> str:
    return f"({regex})" if "|" in regex else regex


def _class(digits: Sequence[int]) -> str:
    if len(digits) == 1:
        return str(digits[0])
    return f"[{digits[0]}-{digits[-1]}]"
