"""Topic product-metadata: the catalogue of the shop, one message per change of a product."""

from typing import Annotated

import msgspec

from lakehouse.contracts.contract import Contract
from lakehouse.contracts.value_types import Id, Instant, Price, about


class Product(msgspec.Struct, kw_only=True, gc=False):
    """One state of a product. A null message value instead is a tombstone: it was deleted."""

    product_id: Annotated[Id, about("The product, kept exactly as sent.")]
    name: Annotated[str | None, about("Name of the product; may be null.")] = None
    category: Annotated[str | None, about("Category of the product; may be null.")] = None
    brand: Annotated[str | None, about("Brand of the product; may be null.")] = None
    price: Annotated[Price | None, about("List price; may be null.")] = None
    updated_at: Annotated[
        Instant | None,
        about("When the product changed, UTC; the Kafka timestamp where the message says nothing."),
    ] = None


CONTRACT = Contract(
    topic="product-metadata",
    version=1,
    description="One row per accepted message: the change log of products, deletions included.",
    payload=Product,
    key="product_id",
    time="updated_at",
    # Not by day: a catalogue changes a little each day, and would have four small files for each.
    partitioned_by=("bucket(4, product_id)",),
    tombstones=True,
    compacted=True,
    silent_days=7,
)
