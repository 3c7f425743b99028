"""Bytes of a Kafka message -> one value per staged column, or the rule that it breaks."""

import re
import typing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from lakehouse.contracts.payloads import (
    PRICE_INTEGER_DIGITS,
    PRICE_SCALE,
    PRICED_EVENT_TYPES,
    EventData,
    EventType,
    Price,
    Product,
    UserEvent,
)

EVENT_WINDOW_START = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_WINDOW_AHEAD = timedelta(days=1)


class Rejected(Exception):  # noqa: N818 (an outcome, not a failure)
    """A message that breaks its contract. The detail names field and rule, never the payload."""

    def __init__(self, error_class: str, error_detail: str):
        super().__init__(f"{error_class}: {error_detail}")
        self.error_class = error_class
        self.error_detail = error_detail


class _RuleError(ValueError):
    """Raised inside a decoder, which adds the field's path; the text is the error class."""


def _price(_type: type, number: Any) -> Price:
    if type(number) is int:
        number = Decimal(number)
    elif type(number) is not Decimal:
        raise _RuleError("WRONG_TYPE")
    if number < 0:
        raise _RuleError("OUT_OF_RANGE")
    if number.as_tuple().exponent < -PRICE_SCALE or number.adjusted() >= PRICE_INTEGER_DIGITS:
        raise _RuleError("DECIMAL_SCALE")
    return Price(number)


def _decoder(message: type) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(message, dec_hook=_price, float_hook=Decimal)


_user_event = _decoder(UserEvent).decode
_event_data = _decoder(EventData).decode
_product = _decoder(Product).decode
# The last two for 100,000 brackets, and for exponents that no decimal holds.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# What msgspec says -> the class that we give it; the first match wins. Its own group, where there
# is one and no class, is the class already (see _price).
_CLASSES: list[tuple[re.Pattern, str | None]] = [
    (re.compile(r"^(WRONG_TYPE|OUT_OF_RANGE|DECIMAL_SCALE)"), None),
    (re.compile(r"missing required field `(\w+)`"), "MISSING_FIELD"),
    (re.compile(r"^Expected `object`, got .*`$"), "NOT_AN_OBJECT"),
    (re.compile(r"^Invalid enum value"), "UNKNOWN_EVENT_TYPE"),
    (re.compile(r"RFC3339|timezone component"), "TIMESTAMP_UNPARSEABLE"),
    (re.compile(r"^Expected `str` of length"), "MISSING_FIELD"),
    (re.compile(r"^Expected `int` [<>]="), "OUT_OF_RANGE"),
    (re.compile(r"^Expected "), "WRONG_TYPE"),
    (re.compile(r"trailing characters"), "TRAILING_DATA"),
]
_PATH = re.compile(r" - at `\$\.?(\w*)`$")


def _rejected(error: Exception, within: str = "") -> Rejected:
    if isinstance(error, UnicodeDecodeError):
        return Rejected("INVALID_UTF8", "value: not UTF-8")
    if isinstance(error, RecursionError):
        return Rejected("TOO_DEEP", "value: nested deeper than the parser goes")
    if isinstance(error, ArithmeticError):
        return Rejected("DECIMAL_SCALE", f"{within or 'value'}: {_RULES['DECIMAL_SCALE']}")
    text = str(error)
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    for pattern, error_class in _CLASSES:
        if match := pattern.search(text):
            error_class = error_class or match.group(1)
            field = field or (match.group(1) if error_class == "MISSING_FIELD" else "")
            break
    else:
        error_class = "MALFORMED_JSON"
    field = ".".join(part for part in (within, field) if part) or "value"
    return Rejected(error_class, f"{field}: {_RULES[error_class]}")


_RULES = {
    "EMPTY_VALUE": "an event needs a value",
    "MALFORMED_JSON": "must be one JSON document",
    "TRAILING_DATA": "nothing may follow the JSON document",
    "NOT_AN_OBJECT": "must be a JSON object",
    "MISSING_FIELD": "required and not empty",
    "WRONG_TYPE": "has another type than the contract says",
    "OUT_OF_RANGE": "outside the range that the contract allows",
    "DECIMAL_SCALE": f"at most {PRICE_INTEGER_DIGITS} digits before, {PRICE_SCALE} after the dot",
    "TIMESTAMP_UNPARSEABLE": "must be RFC 3339 with an offset or Z",
    "TIMESTAMP_OUT_OF_RANGE": "must lie between 1970-01-01 and a day after the Kafka timestamp",
    "UNKNOWN_EVENT_TYPE": f"must be one of {', '.join(typing.get_args(EventType))}",
    "MISSING_PURCHASE_DATA": "purchase and return need price and quantity",
    "KEY_MISMATCH": "must equal the Kafka key",
}


def _break(error_class: str, field: str) -> typing.NoReturn:
    raise Rejected(error_class, f"{field}: {_RULES[error_class]}")


def _check_key(key: bytes | None, field: str, expected: str | None) -> None:
    if key != (None if expected is None else expected.encode()):
        _break("KEY_MISMATCH", field)


def _check_window(field: str, at: datetime, kafka_timestamp: datetime) -> None:
    if not EVENT_WINDOW_START <= at <= kafka_timestamp + EVENT_WINDOW_AHEAD:
        _break("TIMESTAMP_OUT_OF_RANGE", field)


def parse_user_event(value: bytes | None, key: bytes | None, kafka_timestamp: datetime) -> tuple:
    """One value per column of USER_EVENTS.columns, or Rejected."""
    if not value:
        _break("EMPTY_VALUE", "value")
    try:
        event = _user_event(value)
    except _UNREADABLE as error:
        raise _rejected(error) from None
    try:
        data = _event_data(event.event_data)
        event_data = str(event.event_data, "utf-8")
    except _UNREADABLE as error:
        raise _rejected(error, "event_data") from None
    if event.event_type in PRICED_EVENT_TYPES and (data.price is None or data.quantity is None):
        _break("MISSING_PURCHASE_DATA", "event_data")
    _check_window("event_timestamp", event.event_timestamp, kafka_timestamp)
    _check_key(key, "user_id", event.user_id)
    return (
        event.event_id,
        event.user_id,
        event.product_id,
        event.event_type,
        event.event_timestamp,
        event_data,
        data.price,
        data.quantity,
    )


def parse_product(value: bytes | None, key: bytes | None, kafka_timestamp: datetime) -> tuple:
    """One value per column of PRODUCT_METADATA.columns, or Rejected."""
    if value is None:
        if not key:
            _break("MISSING_FIELD", "product_id")
        try:
            product_id = key.decode()
        except UnicodeDecodeError as error:
            raise _rejected(error) from None
        return (product_id, None, None, None, None, kafka_timestamp, True, None)
    try:
        product = _product(value)
        extra = {k: v for k, v in _fields(value).items() if k not in Product.__struct_fields__}
    except _UNREADABLE as error:
        raise _rejected(error) from None
    updated_at = product.updated_at or kafka_timestamp
    _check_window("updated_at", updated_at, kafka_timestamp)
    _check_key(key, "product_id", product.product_id)
    return (
        product.product_id,
        product.name,
        product.category,
        product.brand,
        product.price,
        updated_at,
        False,
        msgspec.json.encode(extra).decode() if extra else None,
    )
