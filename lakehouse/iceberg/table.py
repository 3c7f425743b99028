"""What a table is: columns, partitioning and properties."""

from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_type

CATALOG = "lake"


PROPERTIES = {
    # Trino 476 does not read version 3.
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # Named, because a sort order would silently turn it into range, which reads the input twice.
    "write.distribution-mode": "hash",
    # One open file per task: with one per day, a batch of 3,000 event days runs out of memory.
    "write.spark.fanout.enabled": "false",
    # Spark and Trino commit to the same tables beside each other.
    "commit.retry.num-retries": "20",
    # By default its waits grow to a minute each, and it goes on for half an hour.
    "commit.retry.max-wait-ms": "5000",
    "commit.retry.total-timeout-ms": "120000",
    "write.metadata.delete-after-commit.enabled": "true",
}


@dataclass(frozen=True)
class Table:
    """An Iceberg table of the catalog `lake`."""

    name: str
    comment: str
    columns: list[pa.Field] = field(hash=False)
    partitioned_by: tuple[str, ...]
    # The topic that raw's tables are called by in the store.
    raw_topic: str | None = None

    @property
    def identifier(self) -> str:
        return f"{CATALOG}.{self.name}"

    @property
    def is_raw(self) -> bool:
        return self.raw_topic is not None

    @property
    def folder(self) -> str:
        return f"raw-data/{self.raw_topic}" if self.is_raw else self.name.replace(".", "/")

    @property
    def partition_column(self) -> str:
        return "partition" if "topic" in self.column_names else "kafka_partition"

    @property
    def offset_column(self) -> str:
        return "offset" if "topic" in self.column_names else "kafka_offset"

    @property
    def position(self) -> list[str]:
        """The columns that say which message a row is."""
        topic = ["topic"] if "topic" in self.column_names else []
        return [*topic, self.partition_column, self.offset_column]

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    def spark_type(self, name: str) -> str:
        (column,) = (column for column in self.columns if column.name == name)
        return from_arrow_type(column.type).simpleString()

    def ddl(self, location: str) -> str:
        columns = ",\n  ".join(f"{name} {self.spark_type(name)}" for name in self.column_names)
        properties = ", ".join(f"'{key}' = '{value}'" for key, value in PROPERTIES.items())
        partitions = ", ".join(self.partitioned_by)
        partitioning = f"PARTITIONED BY ({partitions})\n" if partitions else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.identifier} (\n  {columns}\n) USING iceberg\n"
            f"{partitioning}LOCATION '{location}'\nCOMMENT '{self.comment}'\n"
            f"TBLPROPERTIES ({properties})"
        )
