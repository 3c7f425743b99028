"""Bytes of a Kafka message -> one value per staged column, or the rule that it breaks."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from lakehouse.contracts.document import checked_document, digits
from lakehouse.contracts.payloads import PRICED_EVENT_TYPES, EventData, Product, UserEvent
from lakehouse.contracts.rejection import Rejected

EVENT_WINDOW_START = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_WINDOW_AHEAD = timedelta(days=1)


def _custom(type_: Any, value: Any) -> Any:
    return type_.of(value)


def _decoder(message: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(message, dec_hook=_custom, float_hook=digits)


_user_event = _decoder(UserEvent).decode
_event_data = _decoder(EventData).decode
_product = _decoder(Product).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# What msgspec says -> the class that we give it; the first match wins. The first is a RuleError.
_CLASSES = [
    (re.compile(pattern), error_class)
    for pattern, error_class in (
        (r"^[A-Z0-9_]+(?= - at )", None),
        (r"missing required field `(?P<field>\w+)`", "MISSING_FIELD"),
        (r", got `null`", "MISSING_FIELD"),
        (r"^Expected `str` of length", "MISSING_FIELD"),
        (r"^Invalid enum value", "UNKNOWN_EVENT_TYPE"),
        (r"^Integer value out of range - at `\$\.price`", "DECIMAL_SCALE"),
        (r"^Integer value out of range - at `\$\.quantity`|^Expected `int` [<>]=", "OUT_OF_RANGE"),
        (r"", "WRONG_TYPE"),
    )
]
_PATH = re.compile(r" - at `\$\.(?P<field>\w+)`$")


def _typed(decode: Any, value: Any, within: str = "") -> Any:
    """Decode a document that is known to be JSON."""
    try:
        return decode(value)
    except msgspec.ValidationError as error:
        error_class, field = _broken_rule(str(error))
        raise Rejected(error_class, ".".join(filter(None, (within, field)))) from None


@lru_cache
def _broken_rule(text: str) -> tuple[str, str]:
    """Error class and field."""
    match, error_class = next(
        (match, error_class) for pattern, error_class in _CLASSES if (match := pattern.search(text))
    )
    fields = (_PATH.search(text) or match).groupdict()
    return error_class or match[0], fields.get("field", "value")


def _check_key(key: bytes | None, field: str, expected: str | None) -> None:
    if key != (None if expected is None else expected.encode()):
        raise Rejected("KEY_MISMATCH", field)


def _check_window(field: str, at: datetime, kafka_timestamp: datetime) -> None:
    if at < EVENT_WINDOW_START or at - EVENT_WINDOW_AHEAD > kafka_timestamp:
        raise Rejected("TIMESTAMP_OUT_OF_RANGE", field)


def unknown_fields(value: bytes, message: type[msgspec.Struct]) -> str | None:
    """The top-level fields that the contract does not know, each value in its own bytes."""
    known = message.__struct_fields__
    unknown = {name: raw for name, raw in _fields(value).items() if name not in known}
    return msgspec.json.encode(unknown).decode() if unknown else None


def parse_user_event(
    value: bytes | None, key: bytes | None, kafka_timestamp: datetime
) -> tuple[Any, ...]:
    """One value per column of USER_EVENTS.columns, or Rejected."""
    value = checked_document(value)
    event = _typed(_user_event, value)
    event_data = str(event.event_data, "utf-8")
    if not event_data.startswith("{"):
        raise Rejected("MISSING_FIELD" if event_data == "null" else "WRONG_TYPE", "event_data")
    data = _typed(_event_data, event.event_data, within="event_data")
    if event.event_type in PRICED_EVENT_TYPES and (data.price is None or data.quantity is None):
        raise Rejected("MISSING_PURCHASE_DATA", "event_data")
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
        unknown_fields(value, UserEvent),
    )


def parse_product(
    value: bytes | None, key: bytes | None, kafka_timestamp: datetime
) -> tuple[Any, ...]:
    """One value per column of PRODUCT_METADATA.columns, or Rejected."""
    if value is None:
        return _tombstone(key, kafka_timestamp)
    value = checked_document(value)
    product = _typed(_product, value)
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
        unknown_fields(value, Product),
    )


def _tombstone(key: bytes | None, kafka_timestamp: datetime) -> tuple[Any, ...]:
    if not key:
        raise Rejected("MISSING_FIELD", "product_id")
    try:
        return (key.decode(), None, None, None, None, kafka_timestamp, True, None)
    except UnicodeDecodeError:
        raise Rejected("INVALID_UTF8", "product_id") from None
