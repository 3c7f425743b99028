"""Where a run begins in Kafka, by the tables alone; or why it must not."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.bookmarks import Bookmark, Frontier
from lakehouse.errors import LakehouseError
from lakehouse.kafka import Topic
from lakehouse.tables import ACCEPTED_GAPS, Table

log = logging.getLogger("lakehouse.preflight")


class Gap(NamedTuple):
    """Offsets that Kafka holds no longer, and the tables never had: [start, end)."""

    partition: int
    start: int
    end: int


class Plan(NamedTuple):
    """The first offset to read of each partition, and what must be accepted for that."""

    offsets: Frontier
    gaps: list[Gap]


def plan(topic: Topic, bookmarks: Mapping[Table, Bookmark], accepted: Frontier) -> Plan:
    """Begin where the table that is least far ends.

    `accepted` has the end of the last accepted gap of a partition. LakehouseError where the
    offsets of Kafka and of the tables do not count the same messages.
    """
    _check_origin(topic, bookmarks)
    _check_ends(topic, bookmarks)
    offsets: Frontier = {}
    gaps = []
    for partition, earliest in topic.earliest.items():
        ends = [_next(bookmark, partition, earliest) for bookmark in bookmarks.values()]
        if len(set(ends)) > 1:
            log.warning(
                "the tables are not equally far; going on from the least",
                extra={"topic": topic.name, "partition": partition, "next_offsets": ends},
            )
        start = max(min(ends), accepted.get(partition, 0))
        if start < earliest:
            gaps.append(Gap(partition, start, earliest))
        offsets[partition] = max(start, earliest)
    return Plan(offsets, gaps)


def accepted_gaps(spark: SparkSession, topic: str) -> Frontier:
    """Partition -> the end of its last accepted gap."""
    gaps = spark.table(ACCEPTED_GAPS.identifier).where(F.col("topic") == topic)
    ends = gaps.groupBy("partition").agg(F.max("end_offset").alias("end"))
    return {row.partition: row.end for row in ends.collect()}


def accept(spark: SparkSession, topic: str, gaps: list[Gap], reason: str | None) -> None:
    """Record gaps for every later audit; LakehouseError where nobody gave a reason."""
    if not reason:
        lost = ", ".join(f"{topic}/{p} offsets {start} to {end - 1}" for p, start, end in gaps)
        raise LakehouseError(
            f"Kafka no longer holds messages that were not yet taken in: {lost}",
            "Nothing was changed. If they cannot be restored, go on without them:"
            ' spark-submit jobs/ingest.py --accept-gap "why"; each audit will show them',
        )
    now = datetime.now(UTC)
    schema = spark.table(ACCEPTED_GAPS.identifier).schema
    rows = spark.createDataFrame([(topic, *gap, reason, now) for gap in gaps], schema)
    rows.writeTo(ACCEPTED_GAPS.identifier).append()
    log.warning("gap accepted", extra={"topic": topic, "gaps": gaps, "reason": reason})


def _next(bookmark: Bookmark, partition: int, earliest: int) -> int:
    """A topic that was never taken in begins where Kafka begins: what was before is no loss."""
    return bookmark.frontier.get(partition, 0 if bookmark.frontier else earliest)


def _check_origin(topic: Topic, bookmarks: Mapping[Table, Bookmark]) -> None:
    for table, bookmark in bookmarks.items():
        if bookmark.origin and bookmark.origin.cluster_id != topic.origin.cluster_id:
            raise LakehouseError(
                f"{table.name} was filled from the Kafka cluster {bookmark.origin.cluster_id},"
                f" and this is {topic.origin.cluster_id}",
                "Nothing was changed. Correct KAFKA_BOOTSTRAP_SERVERS",
            )
        if bookmark.origin and bookmark.origin != topic.origin:
            raise LakehouseError(
                f"The topic {topic.name} was deleted and made anew: its id is"
                f" {topic.origin.topic_id}, and {table.name} was filled from"
                f" {bookmark.origin.topic_id}",
                "Nothing was changed. Its offsets begin again and would collide with those in the"
                " tables: produce to a topic of another name, or restore the old one",
            )


def _check_ends(topic: Topic, bookmarks: Mapping[Table, Bookmark]) -> None:
    for table, bookmark in bookmarks.items():
        for partition, taken in bookmark.frontier.items():
            held = topic.latest.get(partition, 0)
            if taken > held:
                raise LakehouseError(
                    f"{topic.name}/{partition} ends at offset {held} in Kafka, and {table.name}"
                    f" has taken in all before {taken}",
                    "Nothing was changed. Kafka has lost messages, or was restored from an older"
                    " copy: restore it in full before the next run",
                )
