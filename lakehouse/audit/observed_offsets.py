"""Kafka, tables, a ledger -> (partition, offset, place): where the offsets of a topic are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.audit.conservation import (
    DEAD,
    DUPLICATE,
    KAFKA,
    RAW,
    REPEATED,
    REPLAYED,
    STAGED,
    PartitionCount,
    Pattern,
)
from lakehouse.contracts import CONTRACTS
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.table import Table
from lakehouse.kafka.client import reader_options
from lakehouse.kafka.generations import with_recorded_partitions
from lakehouse.kafka.offsets import Frontier, Origin
from lakehouse.kafka.topics import Topic
from lakehouse.messages.delivered import delivered
from lakehouse.messages.offset_conditions import is_at_or_past
from lakehouse.messages.outcomes import DUPLICATE as OUTCOME_DUPLICATE
from lakehouse.messages.outcomes import REPLAYED as OUTCOME_REPLAYED
from lakehouse.settings import Settings
from lakehouse.tables.bookmarks import read_bookmark
from lakehouse.tables.definitions import AUDITS, DEAD_LETTERS

# The places that are tables, in the order of the columns of ops.audits.
PROVEN = (RAW, STAGED, DEAD, DUPLICATE)


@dataclass(frozen=True)
class Pinned:
    """A table at one snapshot, which a later commit doesn't change."""

    table: Table
    snapshot: int | None
    frontier: Frontier
    origin: Origin | None

    def rows(self, spark: SparkSession, topic: str) -> DataFrame:
        """Return the topic's rows."""
        if self.snapshot is None:
            return spark.table(self.table.identifier).limit(0)
        rows = spark.read.option("versionAsOf", self.snapshot).table(self.table.identifier)
        return rows.where(F.col("topic") == topic) if "topic" in rows.columns else rows


def pin(spark: SparkSession, table: Table, topic: str) -> Pinned:
    """The frontier and the rows are of the same snapshot."""
    bookmark = read_bookmark(spark, table, topic)
    return Pinned(table, bookmark.snapshot_id, bookmark.frontier, bookmark.origin)


def past(frontier: Frontier, rows: DataFrame, table: Table) -> DataFrame:
    """The rows at or past a frontier, and those without coordinates."""
    return rows.where(is_at_or_past(frontier, table.partition_column, table.offset_column))


def table_places(rows: DataFrame, table: Table, place: str) -> DataFrame:
    return _places(rows, table, F.lit(place))


def letter_places(letters: DataFrame) -> DataFrame:
    """A settled letter promises its row elsewhere, unless it was discarded."""
    place = (
        F.when(F.col("outcome") == OUTCOME_REPLAYED, REPLAYED)
        .when(F.col("outcome") == OUTCOME_DUPLICATE, REPEATED)
        .otherwise(DEAD)
    )
    return _places(letters, DEAD_LETTERS, place)


def _places(rows: DataFrame, table: Table, place: Column) -> DataFrame:
    def known(name: str) -> Column:
        return F.coalesce(name, F.lit(-1))

    return rows.select(
        known(table.partition_column).alias("partition"),
        known(table.offset_column).alias("offset"),
        place.alias("place"),
    )


def kafka_chunks(
    spark: SparkSession, settings: Settings, topic: Topic, ranges: dict[int, range]
) -> DataFrame:
    """Return which of these offsets Kafka delivers."""
    return delivered(spark, reader_options(settings), topic.name, ranges, KAFKA)


def read_ledger(spark: SparkSession, ledger: Path, topic: Topic) -> DataFrame:
    """JSON lines -> partition, offset, sha256 of each message of the topic that was acknowledged.

    They are of the topic as it is in Kafka now, with Kafka's own partition numbers; sha256, of the
    value's bytes, is null where the line has none.
    """
    lines = (
        spark.read.schema("topic STRING, partition INT, offset BIGINT, sha256 STRING")
        .option("mode", "FAILFAST")
        .json(f"file:{ledger.absolute()}")
    )
    is_digest = F.isnull("sha256") | F.col("sha256").rlike("^[0-9a-fA-F]{64}$")
    is_sound = F.col("topic").isin([contract.topic for contract in CONTRACTS]) & (
        (F.col("partition") >= 0) & (F.col("offset") >= 0) & is_digest
    )
    if strange := lines.where(~F.coalesce(is_sound, F.lit(False))).head():
        raise LakehouseError(
            f"The ledger {ledger} has a line that says {strange.asDict()}",
            "Each must have a topic of ours, a partition and an offset; sha256, if it has one, is "
            "the digest of the value in 64 hexadecimal digits",
        )
    acknowledged = lines.where(F.col("topic") == topic.name)
    return acknowledged.transform(with_recorded_partitions, topic.generation).select(
        "partition", "offset", F.lower("sha256").alias("sha256")
    )


def other_content(raw: DataFrame, acknowledged: DataFrame) -> list[Pattern]:
    """Offsets whose value in raw is not the one that was acknowledged: a pattern per partition."""
    digests = acknowledged.where("sha256 IS NOT NULL")
    if digests.isEmpty():
        return []
    held = raw.select("partition", "offset", F.sha2("value", 256).alias("held"))
    differing = held.join(digests, ["partition", "offset"]).where("NOT held <=> sha256")
    found = (
        differing.select("partition", "offset")
        .distinct()
        .groupBy("partition")
        .agg(F.min("offset").alias("first"), F.max("offset").alias("last"), F.count("*").alias("n"))
    )
    return [Pattern(row.partition, row.first, row.last, row.n, {}) for row in found.collect()]


@dataclass(frozen=True)
class Proof:
    """The state that the last successful audit of a topic compared."""

    ends: Frontier = field(default_factory=dict)
    # By place; None where the table had none. Audits of old versions did not note them.
    snapshots: dict[str, int | None] = field(default_factory=dict)


def proofs(spark: SparkSession) -> dict[str, Proof]:
    """Return the last successful audit of each topic; each partition has the end that it proved."""
    snapshot = F.struct(*(f"{place}_snapshot" for place in PROVEN)).alias("snapshots")
    last = spark.table(AUDITS.identifier).withColumn("snapshots", snapshot)
    last = last.groupBy("topic", "partition").agg(
        F.max_by(F.struct("end_offset", "snapshots"), "audited_at").alias("proven"),
        F.max("audited_at").alias("audited_at"),
    )
    found: dict[str, Proof] = {}
    for row in last.orderBy("audited_at").collect():
        ends = found.get(row.topic, Proof()).ends | {row.partition: row.proven.end_offset}
        found[row.topic] = Proof(ends, dict(zip(PROVEN, row.proven.snapshots, strict=True)))
    return found


def record_proof(
    spark: SparkSession, partitions: Iterable[PartitionCount], snapshots: Mapping[str, list[Any]]
) -> None:
    """Record that each counted message was found exactly once.

    `snapshots` are those of each topic's tables, in the order of PROVEN.
    """
    at = datetime.now(UTC)
    rows = [
        (
            *(p.topic, p.partition, p.start, p.frontier, p.raw, p.staged, p.dead, p.duplicate, at),
            *snapshots[p.topic],
        )
        for p in partitions
        if p.start < p.frontier
    ]
    if rows:
        columns = ", ".join(f"{name} {AUDITS.spark_type(name)}" for name in AUDITS.column_names)
        spark.createDataFrame(rows, columns).writeTo(AUDITS.identifier).append()
