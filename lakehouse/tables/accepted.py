"""ops.accepted_gaps, ops.accepted_topics: where Kafka's messages end or begin anew, and why."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.iceberg.catalog import iceberg_table
from lakehouse.iceberg.table import Table
from lakehouse.kafka.offsets import Origin
from lakehouse.kafka.topics import Topic
from lakehouse.tables.definitions import ACCEPTED_GAPS, ACCEPTED_TOPICS

log = logging.getLogger("lakehouse.tables")


class Gap(NamedTuple):
    """Offsets from start to before end that Kafka lost before they were taken in."""

    partition: int
    start: int
    end: int
    # None while nobody has accepted it.
    reason: str | None = None


class AcceptedTopic(NamedTuple):
    """A topic that took the place of another of its name."""

    generation: int
    cluster_id: str
    topic_id: str
    reason: str
    accepted_at: datetime

    @property
    def origin(self) -> Origin:
        return Origin(self.cluster_id, self.topic_id)


def accepted_gaps(spark: SparkSession, topic: str) -> list[Gap]:
    """Return the accepted gaps of a topic, sorted by partition and first offset."""
    rows = _rows(spark, ACCEPTED_GAPS, topic)
    return sorted(Gap(row.partition, row.start_offset, row.end_offset, row.reason) for row in rows)


def accepted_topics(spark: SparkSession, topic: str) -> list[AcceptedTopic]:
    """The newest last; without any, the tables know the first topic of that name alone."""
    return sorted(
        AcceptedTopic(
            row.generation,
            row.cluster_id,
            row.topic_id,
            row.reason,
            row.accepted_at.astimezone(UTC),
        )
        for row in _rows(spark, ACCEPTED_TOPICS, topic)
    )


def as_recorded(
    topic: Topic, origins: Iterable[Origin | None], topics: Sequence[AcceptedTopic]
) -> tuple[Topic, Origin | None]:
    """A topic with its partitions as the tables number them, or will number them.

    And the one that it took the place of, if that was not accepted. `origins` are the bookmarks';
    they go back with a table, so once a topic was accepted the newest of `topics` counts alone.
    """
    generation = topics[-1].generation if topics else 0
    known = [topics[-1].origin] if topics else [origin for origin in origins if origin]
    replaced = next((origin for origin in known if not origin.may_be(topic.origin)), None)
    return topic.of_generation(generation + 1 if replaced else generation), replaced


def record_gaps(spark: SparkSession, topic: str, gaps: Sequence[Gap], reason: str) -> None:
    now = datetime.now(UTC)
    rows = [(topic, gap.partition, gap.start, gap.end, reason, now) for gap in gaps]
    _append(spark, ACCEPTED_GAPS, rows)
    log.warning("gap accepted", extra={"topic": topic, "gaps": gaps, "reason": reason})


def record_topic(
    spark: SparkSession, topic: str, generation: int, origin: Origin, reason: str
) -> None:
    _append(spark, ACCEPTED_TOPICS, [(topic, generation, *origin, reason, datetime.now(UTC))])
    log.warning(
        "new topic accepted",
        extra={"topic": topic, "generation": generation, **origin._asdict(), "reason": reason},
    )


def _rows(spark: SparkSession, table: Table, topic: str) -> list[Row]:
    if not iceberg_table(spark, table).currentSnapshot():
        # As a rule; a query would take ten times as long.
        return []
    return spark.table(table.identifier).where(F.col("topic") == topic).collect()


def _append(spark: SparkSession, table: Table, rows: list[tuple[Any, ...]]) -> None:
    # Somebody may have added columns.
    schema = spark.table(table.identifier).select(table.column_names).schema
    spark.createDataFrame(rows, schema).writeTo(table.identifier).append()
