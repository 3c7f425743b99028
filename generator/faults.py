"""A good event -> one that breaks the contract of user-events, as broken producers make them."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from generator.messages import encode

Event = dict[str, Any]


def spoiled(event: Event, random: Random) -> bytes:
    """The value of a bad message. The event's own id stays, and no good message has it."""
    return random.choice(FAULTS)(event, random)


def _empty(event: Event, random: Random) -> bytes:
    return b""


def _truncated(event: Event, random: Random) -> bytes:
    value = encode(event)
    return value[: random.randrange(1, len(value))]


def _not_json(event: Event, random: Random) -> bytes:
    return b"<html><body>502 Bad Gateway</body></html>"


def _two_documents(event: Event, random: Random) -> bytes:
    return encode(event) + b"\n" + encode(event)


def _not_utf8(event: Event, random: Random) -> bytes:
    return encode({**event, "product_id": "caf?"}).replace(b"caf?", "café".encode("latin-1"))


def _array(event: Event, random: Random) -> bytes:
    return encode([event])


def _without(field: str) -> Callable[[Event, Random], bytes]:
    return lambda event, random: encode({k: v for k, v in event.items() if k != field})


def _with(**fields: Any) -> Callable[[Event, Random], bytes]:
    return lambda event, random: encode({**event, **fields})


def _purchase(**data: Any) -> Callable[[Event, Random], bytes]:
    """Spoil only what a purchase must hold; the rest is as a shop would send it."""
    return lambda event, random: encode(
        {**event, "event_type": "purchase", "event_data": {**event["event_data"], **data}}
    )


def _epoch_milliseconds(event: Event, random: Random) -> bytes:
    return encode({**event, "event_timestamp": int(event["event_timestamp"].timestamp() * 1000)})


def _naive_timestamp(event: Event, random: Random) -> bytes:
    return encode({**event, "event_timestamp": event["event_timestamp"].replace(tzinfo=None)})


def _far_future(event: Event, random: Random) -> bytes:
    return encode({**event, "event_timestamp": event["event_timestamp"] + timedelta(days=36_525)})


def _double_encoded(event: Event, random: Random) -> bytes:
    return encode({**event, "event_data": encode(event["event_data"]).decode()})


FAULTS: tuple[Callable[[Event, Random], bytes], ...] = (
    _empty,
    _truncated,
    _not_json,
    _two_documents,
    _not_utf8,
    _array,
    _without("event_id"),
    _without("product_id"),
    _with(product_id=""),
    _with(product_id=42),
    _with(event_type="wishlist"),
    _epoch_milliseconds,
    _naive_timestamp,
    _far_future,
    # What a reader of milliseconds makes of microseconds.
    _with(event_timestamp="57974-03-11T07:12:05Z"),
    _double_encoded,
    _without("event_data"),
    _purchase(price=-12.9, quantity=1),
    _purchase(price="12.90", quantity=1),
    # Three times 19.99 in binary floating point.
    _purchase(price=59.969999999999995, quantity=1),
    _purchase(price=12.9, quantity="2"),
    _purchase(price=12.9, quantity=0),
    _purchase(price=None, quantity=1),
)
