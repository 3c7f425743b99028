"""Types of the values in a message, with the rules that JSON alone does not have."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self, cast

from msgspec import Meta, inspect

PRICE_SCALE = 6
PRICE_INTEGER_DIGITS = 12
# Hours and offsets are bounded here because Python 3.13 takes 24:00 and Arrow takes +99:99.
_HOUR_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
RFC_3339 = (
    f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_HOUR_MINUTE}:[0-9]{{2}}"
    rf"(\.[0-9]{{1,6}})?([Zz]|[+-]{_HOUR_MINUTE})"
)
_is_rfc_3339 = re.compile(RFC_3339).fullmatch


def about(description: str, *, is_personal: bool = False) -> Meta:
    """Describe a field, for people who read its column; and say whether it is about a person."""
    return Meta(description=description, extra={"is_personal": is_personal})


def said_of(type_: Any) -> Meta | None:
    """Return what `about` says of a field of this type."""
    metas = [meta for meta in getattr(type_, "__metadata__", ()) if isinstance(meta, Meta)]
    return next((meta for meta in metas if meta.description), None)


def is_personal(type_: Any) -> bool:
    meta = said_of(type_)
    return bool(meta and meta.extra and meta.extra["is_personal"])


class RuleError(ValueError):
    """A value breaks the rule of its type; the text is the error class."""


def label_of(value: object) -> str | None:
    """Return a value of a Label, as read_json returns it, as its column holds it."""
    if type(value) is bytes:
        return value.decode()
    return str(value) if type(value) in (str, int) else None


class Price(Decimal):
    """A JSON number >= 0 with at most 12 digits before and 6 after the point; never a string."""

    @classmethod
    def of(cls, number: object) -> Self:
        """Make a price of an int, or of the bytes that stand for any other number."""
        if type(number) is bytes:
            try:
                price = Decimal(number.decode())
            except ArithmeticError:  # an exponent that no decimal holds
                raise RuleError("DECIMAL_SCALE") from None
        elif type(number) is int:
            price = Decimal(number)
        else:
            raise RuleError("WRONG_TYPE")
        if price < 0:
            raise RuleError("OUT_OF_RANGE")
        exponent = cast(int, price.as_tuple().exponent)
        if exponent < -PRICE_SCALE or price.adjusted() >= PRICE_INTEGER_DIGITS:
            raise RuleError("DECIMAL_SCALE")
        return cls(price)


class Instant(datetime):
    """An RFC 3339 text with an offset or Z and at most microseconds; kept in UTC."""

    @classmethod
    def of(cls, text: object) -> Self:
        if type(text) is not str:
            raise RuleError("MISSING_FIELD" if text is None else "WRONG_TYPE")
        if not _is_rfc_3339(text):
            raise RuleError("TIMESTAMP_UNPARSEABLE")
        if text.startswith("0000"):
            raise RuleError("TIMESTAMP_OUT_OF_RANGE")
        try:
            return cls.fromisoformat(text.upper()).astimezone(UTC)
        except OverflowError:
            raise RuleError("TIMESTAMP_OUT_OF_RANGE") from None
        except ValueError:
            raise RuleError("TIMESTAMP_UNPARSEABLE") from None


Id = Annotated[str, Meta(min_length=1)]
# A text, or a number kept as its digits; any other value is null in the column, and stays in the
# embedded document. It refuses no message, so a field of it can be added under the same version.
Label = Any
MAX_INTEGER = 2**31 - 1
MAX_LONG = 2**63 - 1
Integer = Annotated[int, Meta(ge=-MAX_LONG, le=MAX_LONG)]
Quantity = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]


def kind_of(type_: Any) -> tuple[inspect.Type, bool]:
    """Describe the type of a field aside from null, and say whether it may be null."""
    info = inspect.type_info(type_)
    if isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.UnionType):
        (kind,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
        return kind, True
    return info, False
