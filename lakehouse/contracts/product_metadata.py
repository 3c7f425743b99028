"""Topic product-metadata: the catalogue of the shop, one message per change of a product."""

import msgspec

from lakehouse.contracts.contract import Contract
from lakehouse.contracts.value_types import Id, Instant, Price


class Product(msgspec.Struct, kw_only=True, gc=False):
    """One state of a product. A null message value instead is a tombstone: it was deleted."""

    product_id: Id
    name: str | None = None
    category: str | None = None
    brand: str | None = None
    price: Price | None = None
    updated_at: Instant | None = None


CONTRACT = Contract(
    topic="product-metadata",
    version=1,
    payload=Product,
    key="product_id",
    time="updated_at",
    # Not by day: a catalogue changes a little each day, and would have four small files for each.
    partitioned_by=("bucket(4, product_id)",),
    tombstones=True,
    compacted=True,
)
