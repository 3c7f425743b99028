"""One empty Iceberg table for each peer: days x bucket(4), zstd, as staging.stg_user_events is.

The columns are those of the message, so that a peer has nothing to take apart.
"""

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform
from pyiceberg.types import (
    DecimalType,
    IntegerType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from lakehouse.iceberg.table import CATALOG, PROPERTIES

NAMESPACE = "bench"
NAME = f"{NAMESPACE}.user_events"
DATA = "event_data"
SCHEMA = Schema(
    NestedField(1, "event_id", StringType()),
    NestedField(2, "user_id", StringType()),
    NestedField(3, "product_id", StringType()),
    NestedField(4, "event_type", StringType()),
    NestedField(5, "event_timestamp", TimestamptzType()),
    NestedField(
        6,
        DATA,
        StructType(
            NestedField(7, "session_id", StringType()),
            NestedField(8, "device", StringType()),
            NestedField(9, "referrer", StringType()),
            NestedField(10, "page", StringType()),
            NestedField(11, "price", DecimalType(18, 6)),
            NestedField(12, "quantity", IntegerType()),
        ),
    ),
)
PARTITIONS = PartitionSpec(
    PartitionField(5, 1000, DayTransform(), "event_timestamp_day"),
    PartitionField(2, 1001, BucketTransform(4), "user_id_bucket"),
)


def catalog(catalog_file: str, warehouse: str, file_io: dict[str, str]) -> SqlCatalog:
    address = {"uri": f"sqlite:///{catalog_file}", "warehouse": warehouse}
    return SqlCatalog(CATALOG, **address, **file_io)


def create(catalog: SqlCatalog) -> None:
    catalog.create_namespace(NAMESPACE)
    catalog.create_table(NAME, SCHEMA, partition_spec=PARTITIONS, properties=PROPERTIES)
