"""Bookmarks of a topic's tables -> that of raw, where a replay has filled the distance."""

import logging
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession

from lakehouse.contracts import Contract
from lakehouse.kafka.offsets import Frontier, OffsetRange
from lakehouse.messages.offset_conditions import is_any_of
from lakehouse.replay.slices import Asked
from lakehouse.tables.append import append
from lakehouse.tables.bookmarks import bookmark_properties, read_bookmark
from lakehouse.tables.definitions import tables_of

log = logging.getLogger("lakehouse.replay")


def advance_bookmarks(
    spark: SparkSession, contract: Contract, asked: Asked, check_locks: Callable[[], None]
) -> None:
    """Take bookmarks that are behind raw's up to it, so that no ingest needs Kafka for that.

    All that was asked for is in the tables. A partition stays where it is if some message of the
    distance was not asked for.
    """
    tables = tables_of(contract)
    bookmarks = {table: read_bookmark(spark, table, contract.topic) for table in tables}
    raw = bookmarks.pop(tables[0])
    origin = next((each.origin for each in (raw, *bookmarks.values()) if each.origin), None)
    for table, bookmark in bookmarks.items():
        messages = spark.table(tables[0].identifier)
        filled = _filled(messages, asked, raw.frontier, bookmark.frontier)
        if filled and origin:
            check_locks()
            properties = bookmark_properties(contract.topic, origin, bookmark.frontier | filled)
            append(spark, table, [], bookmark.snapshot_id, properties)
            log.info("bookmark is level with raw", extra={"table": table.name, "ends": filled})


def _filled(messages: DataFrame, asked: Asked, raw: Frontier, frontier: Frontier) -> Frontier:
    """Raw's end of each partition that was behind it, and was asked for from there on."""
    behind = {p: end for p, end in raw.items() if frontier.get(p, 0) < end}
    if not behind:
        return {}
    distances = [OffsetRange(p, frontier.get(p, 0), end) for p, end in behind.items()]
    unasked = messages.where(is_any_of(distances)).where(~asked.condition)
    left_out = {row.partition for row in unasked.select("partition").distinct().collect()}
    return {partition: end for partition, end in behind.items() if partition not in left_out}
