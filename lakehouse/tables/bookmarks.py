"""How far a table has taken a topic in: kept in its own snapshots, so that it moves with them."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the name that PySpark's users know)

from lakehouse.iceberg.catalog import as_dict, iceberg_table, snapshots
from lakehouse.iceberg.table import Table
from lakehouse.kafka.offsets import Frontier, LastMessage, Origin

_PROPERTY = "lakehouse.bookmark."
# In a snapshot that carries the newest bookmark of every topic: no older one needs to be read.
_COMPLETE = {"lakehouse.bookmarks": "complete"}

log = logging.getLogger("lakehouse.tables")


@dataclass(frozen=True)
class Bookmark:
    """How far a table has taken a topic in, as of one of its snapshots."""

    frontier: Frontier
    # None where no bookmark is left, or none was ever written, and the rows alone tell.
    origin: Origin | None
    snapshot_id: int | None
    # Of each partition, if it was taken in by a version that noted it.
    last_messages: dict[int, LastMessage] = field(default_factory=dict)


def bookmark_properties(
    topic: str,
    origin: Origin,
    frontier: Frontier,
    last_messages: Mapping[int, LastMessage] | None = None,
) -> dict[str, str]:
    """The properties that put a bookmark into the snapshot of an append."""
    bookmark = {**origin._asdict(), "next_offsets": frontier}
    if last_messages:
        bookmark["last_messages"] = last_messages
    return {_PROPERTY + topic: json.dumps(bookmark)}


def is_bookmark(property_name: str) -> bool:
    return property_name.startswith(_PROPERTY)


def read_bookmark(spark: SparkSession, table: Table, topic: str) -> Bookmark:
    """Read the newest bookmark among the ancestors of the current snapshot, or derive it from rows.

    A rollback moves the current snapshot, and so the frontier, back: the rows come again.
    """
    found = iceberg_table(spark, table)
    current = found.currentSnapshot()
    snapshot_id = current.snapshotId() if current else None
    if text := newest_bookmarks(spark, found, current).properties.get(_PROPERTY + topic):
        bookmark = json.loads(text)
        next_offsets = bookmark.pop("next_offsets")
        frontier = {int(partition): offset for partition, offset in next_offsets.items()}
        last = {int(p): LastMessage(*of) for p, of in bookmark.pop("last_messages", {}).items()}
        return Bookmark(frontier, Origin(**bookmark), snapshot_id, last)
    # A query, even on a table without rows, takes a cold session seconds.
    frontier = _frontier_of_rows(spark, table, topic) if current else {}
    if frontier:
        log.warning(
            "rows without a bookmark: something else has removed snapshots, or has copied the table"
            "; going on after the last row of each partition",
            extra={"table": table.name, "topic": topic, "next_offsets": frontier},
        )
    return Bookmark(frontier, None, snapshot_id)


class Bookmarks(NamedTuple):
    """The newest bookmark of every topic, as properties of snapshots."""

    properties: dict[str, str]
    # How many snapshots, from the newest back, are needed to read them; 0 where there is none.
    depth: int


def newest_bookmarks(spark: SparkSession, table: Any, head: Any) -> Bookmarks:
    """Read the bookmarks that hold at a snapshot: its own, and those of its ancestors."""
    found: dict[str, str] = {}
    needed = 0
    for depth, snapshot in enumerate(snapshots(table, head) if head else (), start=1):
        summary = as_dict(spark._jvm, snapshot.summary())
        own = {key: text for key, text in summary.items() if key.startswith(_PROPERTY)}
        if own.keys() - found.keys():
            needed = depth
        found = own | found
        if _COMPLETE.items() <= summary.items():
            break
    return Bookmarks(found, needed)


def carried_forward(
    spark: SparkSession, table: Any, head: Any, properties: Mapping[str, str]
) -> dict[str, str]:
    """The properties of a snapshot after `head`, with all bookmarks, so that it needs no other."""
    return newest_bookmarks(spark, table, head).properties | _COMPLETE | dict(properties)


def first_offsets(spark: SparkSession, table: Table, topic: str) -> Frontier:
    """Partition -> the first offset that the table holds."""
    rows = _rows(spark, table, topic).groupBy(table.partition_column)
    return {row[0]: row[1] for row in rows.agg(F.min(table.offset_column)).collect()}


def _frontier_of_rows(spark: SparkSession, table: Table, topic: str) -> Frontier:
    rows = _rows(spark, table, topic).groupBy(table.partition_column)
    return {row[0]: row[1] for row in rows.agg(F.max(table.offset_column) + 1).collect()}


def _rows(spark: SparkSession, table: Table, topic: str) -> DataFrame:
    rows = spark.table(table.identifier)
    return rows.where(F.col("topic") == topic) if "topic" in table.column_names else rows
