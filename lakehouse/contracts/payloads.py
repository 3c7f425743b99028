"""What a message must be: topic user-events -> UserEvent, topic product-metadata -> Product."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PRICE_SCALE = 6
PRICE_INTEGER_DIGITS = 12


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
