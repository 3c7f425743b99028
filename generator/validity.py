"""A message -> the event or product that it holds, or None if it breaks its contract.

BatchResult from the contract's text with the standard library, and on purpose without the
lakehouse's own parser: `expect` is to find that parser's mistakes.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeGuard, cast

from generator.messages import Received

EVENT_TYPES = {"view", "add_to_cart", "remove_from_cart", "purchase", "return"}
PRICED = {"purchase", "return"}
FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
# fromisoformat also takes dates alone, weeks and more, which RFC 3339 does not know.
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)


class Event(NamedTuple):
    event_id: str
    user_id: str | None
    product_id: str
    event_type: str
    at: datetime
    price: int
    quantity: int


class Product(NamedTuple):
    product_id: str
    name: str | None
    category: str | None
    updated_at: datetime
    is_deleted: bool


def event(message: Received) -> Event | None:
    try:
        return _event(_document(message.value), message)
    except (ValueError, RecursionError):
        return None


def product(message: Received) -> Product | None:
    try:
        if message.value is None:
            product_id = (message.key or b"").decode()
            deleted = Product(product_id, None, None, message.kafka_timestamp, True)
            return deleted if product_id else None
        return _product(_document(message.value), message)
    except (ValueError, RecursionError):
        return None


def _event(fields: dict[str, Any], message: Received) -> Event:
    get = fields.get
    event_id, user_id, product_id = get("event_id"), get("user_id"), get("product_id")
    event_type, data = get("event_type"), get("event_data")
    if not (
        _is_text(event_id)
        and _is_text(product_id)
        and (user_id is None or _is_text(user_id))
        and message.key == (None if user_id is None else user_id.encode())
        and isinstance(event_type, str)
        and event_type in EVENT_TYPES
        and isinstance(data, dict)
    ):
        raise ValueError
    price, quantity = data.get("price"), data.get("quantity")
    if event_type in PRICED and (price is None or quantity is None):
        raise ValueError
    if quantity is not None and not (type(quantity) is int and 1 <= quantity < 2**31):
        raise ValueError
    millionths = 0 if price is None else _millionths(price)
    at = _time(get("event_timestamp"), message.kafka_timestamp)
    return Event(event_id, user_id, product_id, event_type, at, millionths, quantity or 0)


def _product(fields: dict[str, Any], message: Received) -> Product:
    product_id, name, category = (fields.get(f) for f in ("product_id", "name", "category"))
    if not (_is_text(product_id) and message.key == product_id.encode()):
        raise ValueError
    if not all(isinstance(text, str | None) for text in (name, category, fields.get("brand"))):
        raise ValueError
    if fields.get("price") is not None:
        _millionths(fields["price"])
    updated_at = message.kafka_timestamp
    if fields.get("updated_at") is not None:
        updated_at = _time(fields["updated_at"], message.kafka_timestamp)
    return Product(product_id, name, category, updated_at, False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields


class _Immense:
    """A number too long for Python; it is valid in a field without a rule."""


def _number(text: str) -> Decimal | int | _Immense:
    try:
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)
    except (ValueError, ArithmeticError):
        return _Immense()


def _no_constant(name: str) -> None:
    raise ValueError(name)


# Made once: json.loads would make one for each message, at a third of the time.
_decode = json.JSONDecoder(
    parse_int=_number,
    parse_float=_number,
    parse_constant=_no_constant,
    object_pairs_hook=_object,
).raw_decode


def _document(value: bytes | None) -> dict[str, Any]:
    if value is None or len(value) > 1_048_576:
        raise ValueError
    text = value.decode().strip(" \t\r\n")
    fields, end = _decode(text)
    if end != len(text) or not isinstance(fields, dict):
        raise ValueError
    if text.count("{") + text.count("[") > 32 and _depth(fields) > 32:
        raise ValueError
    if "\\u" in text:
        # An escaped half of a surrogate pair is no character; encoding finds it.
        json.dumps(fields, ensure_ascii=False, default=str).encode()
    return fields


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    is_container = isinstance(value, dict | list)
    return is_container + max(map(_depth, inner), default=0)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _millionths(price: Any) -> int:
    """A price as a whole number of millionths: such sums are exact however long they get."""
    if type(price) not in (int, Decimal) or not 0 <= price < 10**12:
        raise ValueError
    # 12.9000000 is refused too: the rule is on the digits as they are written.
    digits = Decimal(price)
    if cast(int, digits.as_tuple().exponent) < -6 or digits.adjusted() >= 12:
        raise ValueError
    return int(price * 1_000_000)


def _time(text: Any, kafka_timestamp: datetime) -> datetime:
    if not (isinstance(text, str) and RFC_3339.fullmatch(text)):
        raise ValueError
    at = datetime.fromisoformat(text.upper())
    if at < FIRST_DAY or at - AHEAD > kafka_timestamp:
        raise ValueError
    return at.astimezone(UTC)
