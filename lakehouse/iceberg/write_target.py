"""The description of an Iceberg table that tasks need to write and read its files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import fs
from pyiceberg_core import transform
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import (
    as_dict,
    catalog_properties,
    fields_of,
    iceberg_table,
    java_class,
)
from lakehouse.iceberg.column_stats import ColumnStatsMode
from lakehouse.iceberg.storage import Store, connected
from lakehouse.iceberg.table import Table

FIELD_ID = b"PARQUET:field_id"
# Supported partition transforms, including those an operator may set by ALTER TABLE.
_TRANSFORMS: dict[str, Callable[..., pa.Array]] = {
    name: getattr(transform, name)
    for name in ("identity", "year", "month", "day", "hour", "bucket", "truncate")
}


@dataclass(frozen=True)
class PartitionField:
    """One field of a table's partitioning."""

    name: str
    column: str
    transform: str
    argument: int | None

    def of(self, column: pa.Array) -> pa.Array:
        arguments = () if self.argument is None else (self.argument,)
        return _TRANSFORMS[self.transform](column, *arguments)


@dataclass(frozen=True)
class WriteTarget:
    """Folder, schema with Iceberg's field ids, and partitioning; can be sent to a task."""

    store: Store
    # s3://bucket/folder
    folder: str
    schema: pa.Schema
    partitions: tuple[PartitionField, ...]
    columns: dict[str, ColumnStatsMode]

    def filesystem(self) -> fs.S3FileSystem:
        return connected(self.store)


def write_target(spark: SparkSession, table: Table) -> WriteTarget:
    """Describe the table as it is now: an operator may have added columns or partition fields."""
    loaded = iceberg_table(spark, table)
    fields = fields_of(spark, loaded)
    ids = {field["name"]: field for field in fields}
    schema = pa.schema([_with_ids(column, ids[column.name]) for column in table.columns])
    names = {field["id"]: field["name"] for field in fields}
    specs = java_class(spark._jvm, "org.apache.iceberg.PartitionSpecParser")
    spec = json.loads(specs.toJson(loaded.spec()))
    partitions = tuple(_partition(table, field, names) for field in spec["fields"])
    store = Store.of(catalog_properties(spark) | as_dict(spark._jvm, loaded.io().properties()))
    config = java_class(spark._jvm, "org.apache.iceberg.MetricsConfig").forTable(loaded)
    columns = {
        field["name"]: ColumnStatsMode(
            field["id"], field["type"], config.columnMode(field["name"]).toString()
        )
        for field in fields
        if isinstance(field["type"], str)
    }
    return WriteTarget(store, f"{loaded.location()}/data", schema, partitions, columns)


def _partition(table: Table, field: dict[str, Any], names: dict[int, str]) -> PartitionField:
    name, _, argument = field["transform"].rstrip("]").partition("[")
    column = names.get(field["source-id"], "a nested field")
    if name not in _TRANSFORMS or column not in table.column_names:
        raise LakehouseError(
            f"{table.name} is partitioned by {field['transform']}({column})",
            f"Replace it by one of {', '.join(_TRANSFORMS)} of a column of ours: ALTER TABLE ... "
            "REPLACE PARTITION FIELD",
        )
    return PartitionField(field["name"], column, name, int(argument) if argument else None)


def _with_ids(field: pa.Field, known: dict[str, Any]) -> pa.Field:
    """Add Iceberg's field ids to an Arrow field and to the fields nested in it."""
    type_ = field.type
    if pa.types.is_list(type_):
        element = {"id": known["type"]["element-id"], "type": known["type"]["element"]}
        type_ = pa.list_(_with_ids(pa.field("element", type_.value_type), element))
    elif pa.types.is_struct(type_):
        inner = {each["name"]: each for each in known["type"]["fields"]}
        type_ = pa.struct([_with_ids(each, inner[each.name]) for each in type_])
    return pa.field(field.name, type_, metadata={FIELD_ID: str(known["id"]).encode()})
