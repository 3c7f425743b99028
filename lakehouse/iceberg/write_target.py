"""What a task must know of an Iceberg table to write files for it, and to read them again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs
from pyiceberg_core import transform
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import as_dict, fields_of, iceberg_table, java_class
from lakehouse.iceberg.column_stats import Column
from lakehouse.locks.s3_object import catalog_properties
from lakehouse.tables.definitions import Table

# By default 3 attempts, after waits of milliseconds.
ATTEMPTS = 8
FIELD_ID = b"PARQUET:field_id"
# Iceberg's transforms of the partitions that our tables have, and may be given by ALTER TABLE.
_TRANSFORMS: dict[str, Callable[..., pa.Array]] = {
    name: getattr(transform, name)
    for name in ("identity", "year", "month", "day", "hour", "bucket", "truncate")
}


@dataclass(frozen=True)
class Store:
    """An S3 client's settings, as Iceberg's catalog has them."""

    endpoint: str | None
    region: str | None
    access_key: str | None
    secret_key: str | None
    session_token: str | None
    path_style: bool
    attempts: int

    @classmethod
    def of(cls, properties: dict[str, str]) -> "Store":
        get = properties.get
        return cls(
            get("s3.endpoint"),
            get("client.region"),
            get("s3.access-key-id"),
            get("s3.secret-access-key"),
            get("s3.session-token"),
            get("s3.path-style-access", "false").lower() == "true",
            1 + int(get("s3.retry.num-retries", ATTEMPTS - 1)),
        )


@cache
def connected(store: Store) -> fs.S3FileSystem:
    """Kept by a task's process for the tasks that follow."""
    endpoint = urlsplit(store.endpoint or "")
    return fs.S3FileSystem(
        access_key=store.access_key,
        secret_key=store.secret_key,
        session_token=store.session_token,
        region=store.region,
        scheme=endpoint.scheme or "https",
        endpoint_override=endpoint.netloc or None,
        force_virtual_addressing=not store.path_style,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=store.attempts),
        # One request for a small file, instead of the three of a multipart upload.
        allow_delayed_open=True,
    )


def object_key(location: str) -> str:
    """bucket/folder/name of s3://bucket/folder/name, in which any character may stand.

    A location is no URL: neither `#` nor `?` ends it, and %2F stays as it is.
    """
    return location.partition("://")[2]


@dataclass(frozen=True)
class Partition:
    """One field of a table's partitioning."""

    name: str
    column: str
    transform: str
    argument: int | None

    def of(self, column: pa.Array) -> pa.Array:
        arguments = () if self.argument is None else (self.argument,)
        return _TRANSFORMS[self.transform](column, *arguments)


@dataclass(frozen=True)
class Layout:
    """Folder, schema with Iceberg's field ids, and partitioning; can be sent to a task."""

    store: Store
    # s3://bucket/folder
    folder: str
    schema: pa.Schema
    partitions: tuple[Partition, ...]
    columns: dict[str, Column]

    def filesystem(self) -> fs.S3FileSystem:
        return connected(self.store)


def layout_of(spark: SparkSession, table: Table) -> Layout:
    """As the table is now: columns and partitions may have been added to it."""
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
        field["name"]: Column(
            field["id"], field["type"], config.columnMode(field["name"]).toString()
        )
        for field in fields
        if isinstance(field["type"], str)
    }
    return Layout(store, f"{loaded.location()}/data", schema, partitions, columns)


def _partition(table: Table, field: dict[str, Any], names: dict[int, str]) -> Partition:
    name, _, argument = field["transform"].rstrip("]").partition("[")
    column = names.get(field["source-id"], "a nested field")
    if name not in _TRANSFORMS or column not in table.column_names:
        raise LakehouseError(
            f"{table.name} is partitioned by {field['transform']}({column})",
            f"Replace it by one of {', '.join(_TRANSFORMS)} of a column of ours: ALTER TABLE ... "
            "REPLACE PARTITION FIELD",
        )
    return Partition(field["name"], column, name, int(argument) if argument else None)


def _with_ids(field: pa.Field, known: dict[str, Any]) -> pa.Field:
    """With the ids of an Iceberg field, and those of what it holds."""
    type_ = field.type
    if pa.types.is_list(type_):
        element = {"id": known["type"]["element-id"], "type": known["type"]["element"]}
        type_ = pa.list_(_with_ids(pa.field("element", type_.value_type), element))
    elif pa.types.is_struct(type_):
        inner = {each["name"]: each for each in known["type"]["fields"]}
        type_ = pa.struct([_with_ids(each, inner[each.name]) for each in type_])
    return pa.field(field.name, type_, metadata={FIELD_ID: str(known["id"]).encode()})
