"""One declaration per topic: what its messages must be, and the staged columns that follow.

The structs in `payloads` declare each payload; the Arrow schema, Spark's DDL, the parser and the
generator's self-check are derived from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from lakehouse.contracts.bulk import Accepted, accept_user_events
from lakehouse.contracts.columns import HEADERS, KAFKA_COLUMNS, column, columns_of
from lakehouse.contracts.parse import EVENT_WINDOW_START, parse_product, parse_user_event
from lakehouse.contracts.payloads import EventData, Product, UserEvent
from lakehouse.contracts.rejection import RULES, Rejected

__all__ = [
    "CONTRACTS",
    "EVENT_WINDOW_START",
    "HEADERS",
    "KAFKA_COLUMNS",
    "PRODUCT_METADATA",
    "RULES",
    "USER_EVENTS",
    "Contract",
    "Rejected",
]


@dataclass(frozen=True)
class Contract:
    """A topic, the staging table that its messages fill, and the way from one to the other.

    `parse(value, key, kafka_timestamp)` returns one value per column, or raises Rejected.
    `accept(records)` does the same for all that are certain at once, where that is worth it.
    """

    topic: str
    version: int
    key: str
    stem: str
    payload: type[msgspec.Struct]
    columns: list[pa.Field]
    # The column that says when what a message tells of happened.
    time: str
    parse: Callable[[bytes | None, bytes | None, datetime], tuple[Any, ...]]
    accept: Callable[[pa.RecordBatch], Accepted] | None = None
    compacted: bool = False
    # The column by which a message repeats another; None: no message of the topic does.
    repeats_by: str | None = None
    # Fields, of the message or inside event_data, that say something about an attempt to send it:
    # two deliveries that differ in nothing else have the same content.
    may_differ: frozenset[str] = frozenset()


USER_EVENTS = Contract(
    topic="user-events",
    version=1,
    key="user_id",
    stem="user_events",
    payload=UserEvent,
    columns=[*columns_of(UserEvent), *columns_of(EventData), column("extra", str)],
    time="event_timestamp",
    parse=parse_user_event,
    accept=accept_user_events,
    repeats_by="event_id",
    may_differ=frozenset({"sent_at"}),
)
PRODUCT_METADATA = Contract(
    topic="product-metadata",
    version=1,
    key="product_id",
    stem="product_metadata",
    payload=Product,
    columns=[*columns_of(Product), column("is_deleted", bool), column("extra", str)],
    time="updated_at",
    parse=parse_product,
    compacted=True,
)
CONTRACTS = (USER_EVENTS, PRODUCT_METADATA)
