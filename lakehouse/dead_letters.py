"""ops.dead_letters, looked at and settled: counted, shown, replayed, discarded."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.decode import decode
from lakehouse.lock import writer_locks
from lakehouse.settings import Settings
from lakehouse.tables import DEAD_LETTERS, staging_table
from lakehouse.write import append_missing, settle

REPLAYED = "replayed"
DISCARDED = "discarded"
IS_OPEN = "outcome IS NULL"

log = logging.getLogger("lakehouse.dead_letters")


@dataclass(frozen=True)
class Position:
    """Where a message is: topic/partition/offset."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, text: str) -> "Position":
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True)
class Selection:
    """Which dead letters: those for which all that is given holds, so all if nothing is."""

    topic: str | None = None
    error_class: str | None = None
    day: date | None = None
    positions: tuple[Position, ...] = ()

    def of(self, letters: DataFrame) -> DataFrame:
        if self.topic:
            letters = letters.where(F.col("topic") == self.topic)
        if self.error_class:
            letters = letters.where(F.col("error_class") == self.error_class)
        if self.day:
            letters = letters.where(F.to_date("kafka_timestamp") == F.lit(self.day))
        if self.positions:
            letters = letters.where(_is_one_of(self.positions))
        return letters


def _is_one_of(positions: tuple[Position, ...]) -> Column:
    return reduce(
        or_,
        (
            (F.col("topic") == p.topic)
            & (F.col("partition") == p.partition)
            & (F.col("offset") == p.offset)
            for p in positions
        ),
    )


def dead_letters(spark: SparkSession) -> DataFrame:
    """All of them, open and settled."""
    return spark.table(DEAD_LETTERS.identifier)


def summary(letters: DataFrame) -> DataFrame:
    """One row per topic, day of the Kafka timestamp, error class and field."""

    def count(condition: str) -> Column:
        return F.count_if(F.expr(condition))

    field = F.split_part("error_detail", F.lit(":"), F.lit(1)).alias("field")
    day = F.to_date("kafka_timestamp").alias("day")
    return (
        letters.groupBy("topic", day, "error_class", field)
        .agg(
            F.count("*").alias("letters"),
            count(IS_OPEN).alias("open"),
            count(f"outcome = '{REPLAYED}'").alias(REPLAYED),
            count(f"outcome = '{DISCARDED}'").alias(DISCARDED),
        )
        .orderBy("topic", "day", F.desc("letters"), "error_class", "field")
    )


def listing(spark: SparkSession, selection: Selection, settled: bool) -> DataFrame:
    """The letters whole, in the order of their coordinates, each with its id."""
    letters = dead_letters(spark).withColumns(
        {
            "id": F.concat_ws("/", "topic", "partition", "offset"),
            "bytes": F.col("value_bytes"),
        }
    )
    return (
        selection.of(letters)
        .where(f"NOT {IS_OPEN}" if settled else IS_OPEN)
        .orderBy("topic", "partition", "offset")
    )


def count_messages(spark: SparkSession) -> dict[str, int]:
    """All that were taken in, by topic: staged rows, and letters that are not among these."""
    unstaged = dead_letters(spark).where(f"NOT outcome <=> '{REPLAYED}'").groupBy("topic").count()
    messages = Counter({row["topic"]: row["count"] for row in unstaged.collect()})
    for contract in CONTRACTS:
        files = spark.table(f"{staging_table(contract).identifier}.files").select("record_count")
        messages[contract.topic] += sum(row.record_count for row in files.collect())
    return messages


@dataclass(frozen=True)
class Replayed:
    """What a replay came to for one topic, in dead letters."""

    topic: str
    tried: int
    passed: int
    # Fewer than passed where an earlier replay was interrupted after it had staged some.
    staged: int
    still_dead: int
    # Not tried, because their values were too long to be kept whole.
    cut: int
    by_class: dict[str, int]


@contextmanager
def _only_writer(
    spark: SparkSession, settings: Settings, dry_run: bool
) -> Iterator[Callable[[], None]]:
    """Keeps an ingest out, unless nothing is to be written; yields the check before each write."""
    if dry_run:
        yield lambda: None
        return
    topics = [contract.topic for contract in CONTRACTS]
    with writer_locks(spark, topics, settings.writer_lease_seconds) as check_locks:
        yield check_locks


def replay(
    spark: SparkSession, settings: Settings, selection: Selection, dry_run: bool
) -> list[Replayed]:
    """Hold open letters against the contracts of today.

    Those that pass are staged and marked, in this order: after a crash between the two the next
    replay finds them staged, and marks them. The others get their new verdict.
    """
    letters = selection.of(dead_letters(spark)).where(IS_OPEN)
    with _only_writer(spark, settings, dry_run) as check_locks:
        return [_replay_topic(letters, contract, dry_run, check_locks) for contract in CONTRACTS]


def _replay_topic(
    letters: DataFrame, contract: Contract, dry_run: bool, check_locks: Callable[[], None]
) -> Replayed:
    letters = letters.where(F.col("topic") == contract.topic)
    cut = letters.where("value_sha256 IS NOT NULL").count()
    whole = letters.where("value_sha256 IS NULL")
    decoded = decode(_records(whole), contract).persist()
    try:
        groups = decoded.groupBy("error_class").count().collect()
        by_class = {row["error_class"]: row["count"] for row in groups}
        passed = by_class.pop(None, 0)
        still_dead = sum(by_class.values())
        staged = 0
        if (passed or still_dead) and not dry_run:
            check_locks()
            staged = append_missing(contract, decoded.where("error_class IS NULL"))
            check_locks()
            settle(_verdicts(decoded, whole, contract))
        result = Replayed(
            contract.topic, passed + still_dead, passed, staged, still_dead, cut, by_class
        )
        log.info("replayed", extra={**vars(result), "dry_run": dry_run})
        return result
    finally:
        decoded.unpersist()


def _records(letters: DataFrame) -> DataFrame:
    """As Spark's Kafka source gives them to the decoder."""
    # The type of the timestamp is not kept, and no contract asks for it.
    return letters.withColumnRenamed("kafka_timestamp", "timestamp").withColumn(
        "timestampType", F.lit(0)
    )


def _verdicts(decoded: DataFrame, letters: DataFrame, contract: Contract) -> DataFrame:
    passed = F.isnull("verdict.error_class")
    attempts = letters.select("partition", "offset", "attempt", "error_class", "error_detail")
    verdict = decoded.select(
        F.col("kafka_partition").alias("partition"),
        F.col("kafka_offset").alias("offset"),
        F.struct("error_class", "error_detail").alias("verdict"),
    )
    return attempts.join(verdict, ["partition", "offset"]).select(
        F.lit(contract.topic).alias("topic"),
        "partition",
        "offset",
        # A letter that passed keeps the reason for which it was one.
        F.coalesce("verdict.error_class", "error_class").alias("error_class"),
        F.coalesce("verdict.error_detail", "error_detail").alias("error_detail"),
        F.lit(contract.version).alias("contract_version"),
        (F.col("attempt") + 1).alias("attempt"),
        F.lit(datetime.now(UTC)).alias("replayed_at"),
        F.when(passed, REPLAYED).alias("outcome"),
    )


def discard(
    spark: SparkSession, settings: Settings, selection: Selection, reason: str, dry_run: bool
) -> int:
    """Settle open letters as never to be staged; returns how many."""
    letters = selection.of(dead_letters(spark)).where(IS_OPEN)
    with _only_writer(spark, settings, dry_run) as check_locks:
        count = letters.count()
        if count and not dry_run:
            check_locks()
            settle(
                letters.select(
                    "topic",
                    "partition",
                    "offset",
                    F.lit(datetime.now(UTC)).alias("replayed_at"),
                    F.lit(DISCARDED).alias("outcome"),
                    F.lit(reason).alias("reason"),
                )
            )
    log.info("discarded", extra={"letters": count, "reason": reason, "dry_run": dry_run})
    return count
