"""Two JSON objects as text -> whether they say the same.

Numbers are compared by value and exactly, never as floats: 10, 10.00 and 1e1 are one number. The
order of keys, blanks and the way in which a character is escaped make no difference.
"""

import json
import re
from collections.abc import Collection
from decimal import MAX_EMAX, Context, Decimal
from typing import Any, cast

_NUMBER = re.compile(r"(-?)([0-9]+)(?:[.]([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


def is_same_object(one: str | None, other: str | None, may_differ: Collection[str]) -> bool:
    """Compare two objects without their fields named in `may_differ`; None is an empty object."""
    return one == other or _fields(one, may_differ) == _fields(other, may_differ)


def _fields(text: str | None, left_out: Collection[str]) -> dict[str, Any]:
    document = _decode(text) if text else {}
    return {name: value for name, value in document.items() if name not in left_out}


def _number(text: str) -> tuple[str, str, int | Decimal] | tuple[()]:
    """Sign, digits without zeros around them, and power of ten: a tuple, which JSON has not."""
    match = cast(re.Match[str], _NUMBER.fullmatch(text))
    sign, whole, fraction, exponent = match.groups("")
    significant = (whole + fraction).lstrip("0")
    digits = significant.rstrip("0")
    if not digits:
        return ()
    power: int | Decimal = len(significant) - len(digits) - len(fraction)
    if exponent:
        # int() refuses more than 4,300 digits, and a message has room for a million.
        exact = Context(prec=len(exponent) + 20, Emax=MAX_EMAX)
        power = exact.add(Decimal(exponent), Decimal(power))
    return sign, digits, power


_decode = json.JSONDecoder(parse_int=_number, parse_float=_number).decode
