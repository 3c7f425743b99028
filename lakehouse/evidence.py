"""Kafka, tables, a ledger -> (partition, offset, place): where the offsets of a topic are."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.bookmarks import Frontier, Origin, read_bookmark
from lakehouse.conservation import DEAD, KAFKA, LEDGER, REPEATED, REPLAYED, PartitionCount
from lakehouse.contracts import CONTRACTS
from lakehouse.dead_letters import DUPLICATE as OUTCOME_DUPLICATE
from lakehouse.dead_letters import REPLAYED as OUTCOME_REPLAYED
from lakehouse.delivered import delivered
from lakehouse.errors import LakehouseError
from lakehouse.generations import with_recorded_partitions
from lakehouse.kafka import Topic, client_options
from lakehouse.settings import Settings
from lakehouse.slices import is_at_or_past
from lakehouse.tables import AUDITS, DEAD_LETTERS, Table


@dataclass(frozen=True)
class Pinned:
    """A table at one snapshot, which a later commit doesn't change."""

    table: Table
    snapshot: int | None
    frontier: Frontier
    origin: Origin | None

    def rows(self, spark: SparkSession, topic: str) -> DataFrame:
        """Those of the topic."""
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


def kafka_places(
    spark: SparkSession, settings: Settings, topic: Topic, ranges: dict[int, range]
) -> DataFrame:
    """Of these offsets, those that Kafka delivers."""
    positions = delivered(spark, client_options(settings), topic.name, ranges)
    return positions.withColumn("place", F.lit(KAFKA))


def ledger_places(spark: SparkSession, ledger: Path, topic: Topic) -> DataFrame:
    """JSON lines with the topic, partition and offset of each message that was acknowledged.

    They are of the topic as it is in Kafka now, with Kafka's own partition numbers.
    """
    lines = (
        spark.read.schema("topic STRING, partition INT, offset BIGINT")
        .option("mode", "FAILFAST")
        .json(f"file:{ledger.absolute()}")
    )
    is_sound = F.col("topic").isin([contract.topic for contract in CONTRACTS]) & (
        (F.col("partition") >= 0) & (F.col("offset") >= 0)
    )
    if strange := lines.where(~F.coalesce(is_sound, F.lit(False))).head():
        raise LakehouseError(
            f"The ledger {ledger} has a line that says {strange.asDict()}",
            "Each must have a topic of ours, a partition and an offset",
        )
    acknowledged = lines.where(F.col("topic") == topic.name)
    return acknowledged.transform(with_recorded_partitions, topic.generation).select(
        "partition", "offset", F.lit(LEDGER).alias("place")
    )


def proven_ends(spark: SparkSession) -> dict[str, Frontier]:
    """Topic -> partition -> where the last audit that held has ended."""
    last = spark.table(AUDITS.identifier).groupBy("topic", "partition")
    ends: dict[str, Frontier] = defaultdict(dict)
    for row in last.agg(F.max_by("end_offset", "audited_at").alias("end")).collect():
        ends[row.topic][row.partition] = row.end
    return ends


def record_proof(spark: SparkSession, partitions: Iterable[PartitionCount]) -> None:
    """That what they count was found to be there, each message exactly once."""
    at = datetime.now(UTC)
    rows = [
        (p.topic, p.partition, p.start, p.frontier, p.raw, p.staged, p.dead, p.duplicate, at)
        for p in partitions
        if p.start < p.frontier
    ]
    if rows:
        columns = ", ".join(f"{name} {AUDITS.spark_type(name)}" for name in AUDITS.column_names)
        spark.createDataFrame(rows, columns).writeTo(AUDITS.identifier).append()
