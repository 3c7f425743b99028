"""Topic orders: what became of an order, one message per change."""

from typing import Annotated, Literal

import msgspec

from lakehouse.contracts.contract import Contract, Requirement
from lakehouse.contracts.value_types import Id, Instant, Price, about


class Shipping(msgspec.Struct, kw_only=True, gc=False):
    """The known fields of shipping; others are free and stay in the text."""

    country: Annotated[Id, about("Where the order goes, as ISO 3166 has it.")]
    is_express: Annotated[bool | None, about("Whether it is in a hurry.")] = None


class Order(msgspec.Struct, kw_only=True, gc=False):
    """One change of an order. A null message value instead is a tombstone: it was deleted."""

    change_id: Annotated[Id, about("Names the change; the same on every delivery of it.")]
    order_id: Annotated[Id, about("The order.")]
    customer_id: Annotated[Id | None, about("Who ordered; null for a guest.", is_personal=True)] = (
        None
    )
    status: Annotated[Literal["placed", "paid", "shipped"], about("What the order is now.")]
    changed_at: Annotated[Instant, about("When it became so, UTC.")]
    total: Annotated[Price | None, about("What the customer pays, in EUR.")] = None
    shipping: Annotated[msgspec.Raw, about("The JSON object of the message.", is_personal=True)]


CONTRACT = Contract(
    topic="orders",
    version=1,
    description="One row per change of an order, deletions included.",
    payload=Order,
    key="order_id",
    time="changed_at",
    partitioned_by=("days(changed_at)",),
    embedded={"shipping": Shipping},
    requires=(Requirement("status", ("placed", "paid"), ("total",)),),
    tombstones=True,
    repeats_by="change_id",
    is_fast=True,
)
