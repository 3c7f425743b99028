"""A seed -> the events that every bench reads, the same ones for the same arguments."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from generator.messages import Message, encode
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS

# 100 million events, at A_DAY a day, end before 2026: the contract refuses those of the future.
FIRST_DAY = datetime(2022, 1, 1, tzinfo=UTC)
A_DAY = 70_000
TYPES = ["view"] * 80 + ["add_to_cart"] * 14 + ["purchase"] * 5 + ["return"]


def user_events(count: int, seed: int, first: int = 0, a_day: int = A_DAY) -> Iterator[dict]:
    """Number `first` and the following, of about 400 bytes: the same days for all seeds, other ids.

    Each has a price and a quantity.
    """
    random = Random(seed)
    for number in range(first, first + count):
        bits = random.getrandbits(128)
        product = f"P{bits % 5000:05d}"
        data = {
            "session_id": f"{bits:032x}",
            "device": ("mobile", "desktop", "tablet")[bits % 3],
            "referrer": f"https://search.example.com/search?q=garden+{bits % 977}&page=2&lang=en",
            "page": f"/garden/furniture/chairs/{product}",
            "price": Decimal(bits % 100_000 + 1) / 100,
            "quantity": bits % 12 + 1,
        }
        yield {
            "event_id": f"{seed:08x}-0000-4000-8000-{number:012x}",
            "user_id": f"U{bits % 49_999:06d}" if bits % 7 else None,
            "product_id": product,
            "event_type": TYPES[(bits >> 64) % len(TYPES)],
            "event_timestamp": FIRST_DAY + timedelta(days=1) * number / a_day,
            "event_data": data,
        }


def message(event: dict, topic: str = USER_EVENTS.topic) -> Message:
    key = event["user_id"] and event["user_id"].encode()
    return Message(topic, key, encode(event))
