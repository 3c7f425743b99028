"""Topic user-events: what shoppers did."""

from typing import Annotated, Literal

import msgspec

from lakehouse.contracts.contract import Contract, Requirement
from lakehouse.contracts.value_types import Id, Instant, Label, Price, Quantity, about


class EventData(msgspec.Struct, kw_only=True, gc=False):
    """The known fields of event_data; others are free and stay in the text."""

    price: Annotated[Price | None, about("Price of one unit, from event_data.")] = None
    quantity: Annotated[Quantity | None, about("Units, from event_data.")] = None
    order_id: Annotated[
        Label, about("Order of a purchase or return, from event_data.", is_personal=True)
    ] = None
    session_id: Annotated[Label, about("Visit, from event_data.", is_personal=True)] = None
    device: Annotated[Label, about("Kind of device, from event_data.")] = None
    referrer: Annotated[
        Label, about("Where the visit came from, from event_data.", is_personal=True)
    ] = None


class UserEvent(msgspec.Struct, kw_only=True, gc=False):
    """One thing that a shopper did. A guest has no user_id, and then the Kafka key is null."""

    event_id: Annotated[Id, about("Names the event; the same on every delivery of it.")]
    user_id: Annotated[Id | None, about("The shopper; null for a guest.", is_personal=True)] = None
    product_id: Annotated[Id, about("The product, kept exactly as sent.")]
    event_type: Annotated[
        Literal["view", "add_to_cart", "remove_from_cart", "purchase", "return"],
        about("What the shopper did."),
    ]
    event_timestamp: Annotated[Instant, about("When the shopper did it, UTC.")]
    event_data: Annotated[
        msgspec.Raw, about("The JSON object of the message, unchanged.", is_personal=True)
    ]


CONTRACT = Contract(
    topic="user-events",
    version=1,
    description=(
        "One row per event: the first message that says it. Later ones are in ops.duplicates."
    ),
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
    silent_days=1,
)
