"""Data files that are written, but not committed to their table."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from lakehouse.iceberg.column_stats import Metrics

PartitionValue = str | int | bool | None


def partition_value(value: object) -> PartitionValue:
    """Write a partition value as Iceberg's single-value JSON serialization does."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case bytes():
            return value.hex().upper()
        case str() | int() | None:
            return value
    raise TypeError(f"a partition of {type(value).__name__}")


class DataFile(msgspec.Struct, frozen=True):
    """Parquet, with rows of one partition or, without a partition, of several small ones."""

    # s3://...
    path: str
    # The values of its partition, one per field of the table's partitioning.
    partition: tuple[PartitionValue, ...] | None
    rows: int
    size: int
    # Where each row group begins.
    split_offsets: tuple[int, ...]
    metrics: Metrics

    def in_json(self, spec_id: int) -> str:
        """Write the data file as JSON, as Iceberg's REST specification defines it."""
        described = {
            "spec-id": spec_id,
            "content": "DATA",
            "file-path": self.path,
            "file-format": "PARQUET",
            "partition": self.partition or (),
            "file-size-in-bytes": self.size,
            "record-count": self.rows,
            "column-sizes": _by_id(self.metrics.sizes),
            "value-counts": _by_id(self.metrics.values),
            "null-value-counts": _by_id(self.metrics.nulls),
            "lower-bounds": _by_id(self.metrics.lower),
            "upper-bounds": _by_id(self.metrics.upper),
            "split-offsets": self.split_offsets,
        }
        return msgspec.json.encode(described).decode()


def _by_id(found: Mapping[int, int] | Mapping[int, bytes]) -> dict[str, list[Any]]:
    values = [each.hex().upper() if isinstance(each, bytes) else each for each in found.values()]
    return {"keys": list(found), "values": values}
