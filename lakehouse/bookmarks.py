"""How far a table has taken a topic in: kept in its own snapshots, so that it moves with them."""

import json

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the name that PySpark's users know)

from lakehouse.tables import Table, current_snapshot

# Partition -> the first offset that the table has not seen.
Frontier = dict[int, int]

_PROPERTY = "lakehouse.bookmark."


def write_option(topic: str, frontier: Frontier) -> tuple[str, str]:
    """The option of a DataFrame writer that puts a bookmark into the snapshot of its append."""
    return f"snapshot-property.{_PROPERTY}{topic}", json.dumps(frontier)


def read_frontier(spark: SparkSession, table: Table, topic: str) -> Frontier:
    """From the newest bookmark among the ancestors of the current snapshot, else from the rows.

    A rollback moves the current snapshot, and so the frontier, back: the rows come again.
    """
    bookmark = _newest_bookmark(spark, table, topic)
    return bookmark if bookmark is not None else _frontier_of_rows(spark, table, topic)


def unseen(frontier: Frontier, records: DataFrame, table: Table) -> DataFrame:
    """The records, in the columns of the table, that lie at or past its frontier."""
    for partition, end in frontier.items():
        records = records.where(
            (F.col(table.partition_column) != partition) | (F.col(table.offset_column) >= end)
        )
    return records


def _newest_bookmark(spark: SparkSession, table: Table, topic: str) -> Frontier | None:
    snapshots = spark.table(f"{table.identifier}.snapshots").select(
        "snapshot_id", "parent_id", F.col("summary")[f"{_PROPERTY}{topic}"].alias("bookmark")
    )
    by_id = {row.snapshot_id: row for row in snapshots.collect()}
    snapshot = by_id.get(current_snapshot(spark, table))
    while snapshot:
        if snapshot.bookmark:
            return {int(partition): end for partition, end in json.loads(snapshot.bookmark).items()}
        snapshot = by_id.get(snapshot.parent_id)
    return None


def _frontier_of_rows(spark: SparkSession, table: Table, topic: str) -> Frontier:
    rows = spark.table(table.identifier)
    if "topic" in table.column_names:
        rows = rows.where(F.col("topic") == topic)
    ends = rows.groupBy(table.partition_column).agg(F.max(table.offset_column) + 1)
    return {row[0]: row[1] for row in ends.collect()}
