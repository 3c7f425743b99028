"""Topic user-events: what shoppers did."""

from typing import Literal

import msgspec

from lakehouse.contracts.contract import Contract, Requirement
from lakehouse.contracts.value_types import Id, Instant, Price, Quantity


class EventData(msgspec.Struct, kw_only=True, gc=False):
    """The known fields of event_data; others are free and stay in the text."""

    price: Price | None = None
    quantity: Quantity | None = None


class UserEvent(msgspec.Struct, kw_only=True, gc=False):
    """One thing that a shopper did. A guest has no user_id, and then the Kafka key is null."""

    event_id: Id
    user_id: Id | None = None
    product_id: Id
    event_type: Literal["view", "add_to_cart", "remove_from_cart", "purchase", "return"]
    event_timestamp: Instant
    event_data: msgspec.Raw


CONTRACT = Contract(
    topic="user-events",
    version=1,
    payload=UserEvent,
    key="user_id",
    time="event_timestamp",
    partitioned_by=("days(event_timestamp)", "bucket(4, user_id)"),
    embedded={"event_data": EventData},
    requires=(
        Requirement(
            "event_type",
            ("purchase", "return"),
            ("event_data.price", "event_data.quantity"),
            "MISSING_PURCHASE_DATA",
        ),
    ),
    repeats_by="event_id",
    may_differ=frozenset({"sent_at"}),
    is_fast=True,
)
