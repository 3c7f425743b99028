"""How far a table has taken a topic in: kept in its own snapshots, so that it moves with them."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the name that PySpark's users know)

from lakehouse.iceberg import as_dict, iceberg_table, snapshots
from lakehouse.tables import Table

# Partition -> the first offset that the table has not seen.
Frontier = dict[int, int]

_PROPERTY = "lakehouse.bookmark."


class Origin(NamedTuple):
    """Which topic of which cluster the offsets count: its name alone can mean another tomorrow."""

    cluster_id: str
    topic_id: str


@dataclass(frozen=True)
class Bookmark:
    """How far a table has taken a topic in, as of one of its snapshots."""

    frontier: Frontier
    # None where no bookmark is left, or none was ever written, and the rows alone tell.
    origin: Origin | None
    snapshot_id: int | None


def bookmark_properties(topic: str, origin: Origin, frontier: Frontier) -> dict[str, str]:
    """The properties that put a bookmark into the snapshot of an append."""
    return {_PROPERTY + topic: json.dumps({**origin._asdict(), "next_offsets": frontier})}


def is_bookmark(property_name: str) -> bool:
    return property_name.startswith(_PROPERTY)


def read_bookmark(spark: SparkSession, table: Table, topic: str) -> Bookmark:
    """From the newest bookmark among the ancestors of the current snapshot, else from the rows.

    A rollback moves the current snapshot, and so the frontier, back: the rows come again.
    """
    found = iceberg_table(spark, table)
    current = found.currentSnapshot()
    snapshot_id = current.snapshotId() if current else None
    for snapshot in snapshots(found):
        if text := snapshot.summary().get(_PROPERTY + topic):
            bookmark = json.loads(text)
            next_offsets = bookmark.pop("next_offsets")
            frontier = {int(partition): offset for partition, offset in next_offsets.items()}
            return Bookmark(frontier, Origin(**bookmark), snapshot_id)
    # A query, even on a table without rows, takes a cold session seconds.
    frontier = _frontier_of_rows(spark, table, topic) if current else {}
    return Bookmark(frontier, None, snapshot_id)


def first_offsets(spark: SparkSession, table: Table, topic: str) -> Frontier:
    """Partition -> the first offset that the table holds."""
    rows = _rows(spark, table, topic).groupBy(table.partition_column)
    return {row[0]: row[1] for row in rows.agg(F.min(table.offset_column)).collect()}


def snapshots_to_newest_bookmarks(spark: SparkSession, table: Table) -> int:
    """How many snapshots, from the current one back, hold the newest bookmark of every topic."""
    needed = 0
    topics: set[str] = set()
    for depth, snapshot in enumerate(snapshots(iceberg_table(spark, table)), start=1):
        bookmarks = {
            key for key in as_dict(spark._jvm, snapshot.summary()) if key.startswith(_PROPERTY)
        }
        if bookmarks - topics:
            needed = depth
        topics |= bookmarks
    return needed


def _frontier_of_rows(spark: SparkSession, table: Table, topic: str) -> Frontier:
    rows = _rows(spark, table, topic).groupBy(table.partition_column)
    return {row[0]: row[1] for row in rows.agg(F.max(table.offset_column) + 1).collect()}


def _rows(spark: SparkSession, table: Table, topic: str) -> DataFrame:
    rows = spark.table(table.identifier)
    return rows.where(F.col("topic") == topic) if "topic" in table.column_names else rows
