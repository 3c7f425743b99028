"""What a message must be: topic user-events -> UserEvent, topic product-metadata -> Product.

The structs below are the one declaration of each payload. The Arrow schema of the staged
columns, Spark's DDL, the parser and the generator's self-check are derived from them.
"""

import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
from msgspec import Meta

PRICE_SCALE = 6
PRICE_INTEGER_DIGITS = 12
EVENT_WINDOW_START = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_WINDOW_AHEAD = timedelta(days=1)


class Price(Decimal):
    """A JSON number >= 0 with at most 12 digits before and 6 after the point; never a string."""


Id = Annotated[str, Meta(min_length=1)]
Quantity = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Timestamp = Annotated[datetime, Meta(tz=True)]
EventType = Literal["view", "add_to_cart", "remove_from_cart", "purchase", "return"]
PRICED_EVENT_TYPES = frozenset({"purchase", "return"})


class EventData(msgspec.Struct, kw_only=True, gc=False):
    """The known fields of event_data; others are free and stay in the text."""

    price: Price | None = None
    quantity: Quantity | None = None


class UserEvent(msgspec.Struct, kw_only=True, gc=False):
    """One thing that a shopper did. A guest has no user_id, and then the Kafka key is null."""

    event_id: Id
    user_id: Id | None = None
    product_id: Id
    event_type: EventType
    event_timestamp: Timestamp
    event_data: msgspec.Raw


class Product(msgspec.Struct, kw_only=True, gc=False):
    """One state of a product. A null message value instead is a tombstone: it was deleted."""

    product_id: Id
    name: str | None = None
    category: str | None = None
    brand: str | None = None
    price: Price | None = None
    updated_at: Timestamp | None = None


class Rejected(Exception):
    """A message that breaks its contract. The detail names field and rule, never the payload."""

    def __init__(self, error_class: str, error_detail: str):
        super().__init__(f"{error_class}: {error_detail}")
        self.error_class = error_class
        self.error_detail = error_detail


class _BrokenRule(ValueError):
    """Raised inside a decoder, which adds the field's path; the text is the error class."""


def _price(_type: type, number: Any) -> Price:
    if type(number) is int:
        number = Decimal(number)
    elif type(number) is not Decimal:
        raise _BrokenRule("WRONG_TYPE")
    if number < 0:
        raise _BrokenRule("OUT_OF_RANGE")
    if number.as_tuple().exponent < -PRICE_SCALE or number.adjusted() >= PRICE_INTEGER_DIGITS:
        raise _BrokenRule("DECIMAL_SCALE")
    return Price(number)


def _decoder(message: type) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(message, dec_hook=_price, float_hook=Decimal)


_user_event = _decoder(UserEvent).decode
_event_data = _decoder(EventData).decode
_product = _decoder(Product).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# msgspec's wording, which its documentation shows, -> our classes. First match wins.
_CLASSES = [
    (r"^(WRONG_TYPE|OUT_OF_RANGE|DECIMAL_SCALE)", None),
    (r"missing required field `(\w+)`", "MISSING_FIELD"),
    (r"^Expected `object`, got .*`$", "NOT_AN_OBJECT"),
    (r"^Invalid enum value", "UNKNOWN_EVENT_TYPE"),
    (r"RFC3339|timezone component", "TIMESTAMP_UNPARSEABLE"),
    (r"^Expected `str` of length", "MISSING_FIELD"),
    (r"^Expected `int` [<>]=", "OUT_OF_RANGE"),
    (r"^Expected ", "WRONG_TYPE"),
    (r"trailing characters", "TRAILING_DATA"),
]
_CLASSES_COMPILED = [(re.compile(pattern), error_class) for pattern, error_class in _CLASSES]
_PATH = re.compile(r" - at `\$\.?(\w*)`$")


def _rejected(error: Exception, within: str = "") -> Rejected:
    if isinstance(error, UnicodeDecodeError):
        return Rejected("INVALID_UTF8", "value: not UTF-8")
    text = str(error)
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    for pattern, error_class in _CLASSES_COMPILED:
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
    "DECIMAL_SCALE": f"at most {PRICE_INTEGER_DIGITS} digits before and {PRICE_SCALE} after the point",
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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _rejected(error) from None
    try:
        data = _event_data(event.event_data)
        event_data = str(event.event_data, "utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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


_ARROW_TYPES = {
    str: pa.string(),
    msgspec.Raw: pa.string(),
    int: pa.int32(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    Price: pa.decimal128(PRICE_INTEGER_DIGITS + PRICE_SCALE, PRICE_SCALE),
}


def _arrow_fields(message: type[msgspec.Struct]) -> list[pa.Field]:
    return [_arrow_field(name, hint) for name, hint in typing.get_type_hints(message).items()]


def _arrow_field(name: str, hint: Any) -> pa.Field:
    if typing.get_origin(hint) is Literal:
        hint = str
    required = set(typing.get_args(hint) or (hint,)) - {types.NoneType}
    return pa.field(name, _ARROW_TYPES[required.pop()])


KAFKA_COLUMNS = [
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_offset", pa.int64()),
    pa.field("kafka_timestamp", pa.timestamp("us", tz="UTC")),
]


@dataclass(frozen=True)
class Contract:
    """A topic, the staging table that its messages fill, and the way from one to the other.

    `parse(value, key, kafka_timestamp)` returns one value per column, or raises Rejected.
    """

    topic: str
    version: int
    key: str
    stem: str
    columns: list[pa.Field]
    parse: Callable[[bytes | None, bytes | None, datetime], tuple]
    compacted: bool = False


USER_EVENTS = Contract(
    topic="user-events",
    version=1,
    key="user_id",
    stem="user_events",
    columns=_arrow_fields(UserEvent) + _arrow_fields(EventData),
    parse=parse_user_event,
)
PRODUCT_METADATA = Contract(
    topic="product-metadata",
    version=1,
    key="product_id",
    stem="product_metadata",
    columns=[*_arrow_fields(Product), _arrow_field("is_deleted", bool), _arrow_field("extra", str)],
    parse=parse_product,
    compacted=True,
)
CONTRACTS = (USER_EVENTS, PRODUCT_METADATA)
