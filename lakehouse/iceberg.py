"""Iceberg's own API, beside Spark's SQL: a tenth of the cost of a query on metadata."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.tables import CATALOG, TABLES, Table


def iceberg_table(spark: SparkSession, table: Table) -> Any:
    """org.apache.iceberg.Table, as it is now."""
    return _spark3_util(spark).loadIcebergTable(spark._jsparkSession, table.identifier)


def snapshots(table: Any, head: Any = None) -> Iterator[Any]:
    """org.apache.iceberg.Snapshot, from `head`, or the current one, back to the oldest left."""
    snapshot = head or table.currentSnapshot()
    while snapshot:
        yield snapshot
        parent = snapshot.parentId()
        snapshot = None if parent is None else table.snapshot(parent)


def current_snapshot(spark: SparkSession, table: Table) -> int | None:
    """Its id; None while nothing was written."""
    found = iceberg_table(spark, table).currentSnapshot()
    return found.snapshotId() if found else None


def create_missing(spark: SparkSession) -> None:
    """Make namespaces, tables and columns that are not there; change nothing else."""
    existing = _existing(spark)
    warehouse = spark.conf.get(f"spark.sql.catalog.{CATALOG}.warehouse") or ""
    for table in TABLES:
        if table.name not in existing:
            spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {table.identifier.rpartition('.')[0]}")
            spark.sql(table.ddl(warehouse))
            continue
        columns = {column.name() for column in iceberg_table(spark, table).schema().columns()}
        for before, name in pairwise(table.column_names):
            if name not in columns:
                column = f"{name} {table.spark_type(name)} AFTER {before}"
                spark.sql(f"ALTER TABLE {table.identifier} ADD COLUMN {column}")


def _existing(spark: SparkSession) -> set[str]:
    """Names of the catalog's tables."""
    catalog = _spark3_util(spark).loadIcebergCatalog(spark._jsparkSession, CATALOG)
    return {
        str(table)
        for namespace in catalog.listNamespaces()
        for table in catalog.listTables(namespace)
    }


def _spark3_util(spark: SparkSession) -> Any:
    return spark._jvm.org.apache.iceberg.spark.Spark3Util  # type: ignore[union-attr]
