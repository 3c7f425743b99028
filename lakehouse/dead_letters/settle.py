"""ops.dead_letters, looked at and settled: counted, shown, replayed, discarded."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.ingest.writer import settle, stage_missing
from lakehouse.messages.decode import decode
from lakehouse.messages.duplicates import CONFLICT, CONFLICT_DETAIL, POSITION
from lakehouse.tables.definitions import DEAD_LETTERS, raw_table

REPLAYED = "replayed"
DUPLICATE = "duplicate"
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
    """Spark looks each row up in a hash set, and Iceberg prunes files by the range of offsets."""
    known: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for each in positions:
        known[each.topic].append((each.partition, each.offset))
    is_known = F.lit(False)
    for topic, pairs in known.items():
        listed = ", ".join(f"({partition}, {offset}L)" for partition, offset in pairs)
        is_known |= (F.col("topic") == topic) & F.expr(f"(`partition`, offset) IN ({listed})")
    offsets = [each.offset for each in positions]
    return F.col("offset").between(min(offsets), max(offsets)) & is_known


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
            count(f"outcome = '{DUPLICATE}'").alias(DUPLICATE),
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
    """All that were taken in, by topic."""
    messages: Counter[str] = Counter()
    for contract in CONTRACTS:
        files = spark.table(f"{raw_table(contract).identifier}.files").select("record_count")
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
    duplicate: int
    still_dead: int
    # Not tried, because their values were too long to be kept whole.
    cut: int
    by_class: dict[str, int]


def replay(
    spark: SparkSession,
    selection: Selection,
    horizon: timedelta,
    dry_run: bool,
    check_locks: Callable[[], None],
) -> list[Replayed]:
    """Hold open letters against the contracts of today, and against the events of their days.

    Those that pass are staged and marked, in this order: after a crash between the two the next
    replay finds them staged, and marks them. The others get their new verdict.
    """
    letters = selection.of(dead_letters(spark)).where(IS_OPEN)
    return [
        _replay_topic(letters, contract, horizon, dry_run, check_locks) for contract in CONTRACTS
    ]


def _replay_topic(
    letters: DataFrame,
    contract: Contract,
    horizon: timedelta,
    dry_run: bool,
    check_locks: Callable[[], None],
) -> Replayed:
    letters = letters.where(F.col("topic") == contract.topic)
    cut = letters.where("value_sha256 IS NOT NULL").count()
    whole = letters.where("value_sha256 IS NULL")
    decoded = decode(_records(whole), contract).persist()
    try:
        accepted = decoded.where("error_class IS NULL")
        staged, repeated = stage_missing(contract, accepted, horizon, dry_run, check_locks)
        verdicts = _verdicts(decoded, repeated)
        groups = verdicts.groupBy("error_class", "is_duplicate").count().collect()
        counts = {(row["error_class"], row["is_duplicate"]): row["count"] for row in groups}
        passed, duplicate = counts.pop((None, False), 0), counts.pop((None, True), 0)
        by_class = {error_class: count for (error_class, _), count in counts.items()}
        dead = sum(by_class.values())
        tried = passed + duplicate + dead
        if tried and not dry_run:
            settle(_settled(verdicts, whole, contract), check_locks)
        result = Replayed(contract.topic, tried, passed, staged, duplicate, dead, cut, by_class)
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


def _verdicts(decoded: DataFrame, repeated: DataFrame | None) -> DataFrame:
    """partition, offset, error_class, error_detail, is_duplicate."""
    verdicts = decoded.select(*POSITION, "error_class", "error_detail")
    if repeated is None:
        verdicts = verdicts.withColumn("is_same", F.lit(None).cast("boolean"))
    else:
        verdicts = verdicts.join(repeated.select(*POSITION, "is_same"), POSITION, "left")
    conflicts = F.col("is_same").eqNullSafe(False)
    return verdicts.select(
        F.col("kafka_partition").alias("partition"),
        F.col("kafka_offset").alias("offset"),
        F.when(conflicts, CONFLICT).otherwise(F.col("error_class")).alias("error_class"),
        F.when(conflicts, CONFLICT_DETAIL).otherwise(F.col("error_detail")).alias("error_detail"),
        F.coalesce("is_same", F.lit(False)).alias("is_duplicate"),
    )


def _settled(verdicts: DataFrame, letters: DataFrame, contract: Contract) -> DataFrame:
    attempts = letters.select("partition", "offset", "attempt", "error_class", "error_detail")
    verdict = verdicts.select(
        "partition", "offset", "is_duplicate", F.struct("error_class", "error_detail").alias("now")
    )
    outcome = F.when(F.col("is_duplicate"), DUPLICATE).otherwise(REPLAYED)
    return attempts.join(verdict, ["partition", "offset"]).select(
        F.lit(contract.topic).alias("topic"),
        "partition",
        "offset",
        # A letter that passed keeps the reason for which it was one.
        F.coalesce("now.error_class", "error_class").alias("error_class"),
        F.coalesce("now.error_detail", "error_detail").alias("error_detail"),
        F.lit(contract.version).alias("contract_version"),
        (F.col("attempt") + 1).alias("attempt"),
        F.lit(datetime.now(UTC)).alias("replayed_at"),
        F.when(F.isnull("now.error_class"), outcome).alias("outcome"),
    )


def discard(
    spark: SparkSession,
    selection: Selection,
    reason: str,
    dry_run: bool,
    check_locks: Callable[[], None],
) -> int:
    """Settle open letters as never to be staged; returns how many."""
    letters = selection.of(dead_letters(spark)).where(IS_OPEN)
    if dry_run:
        count = letters.count()
    else:
        count = settle(
            letters.select(
                "topic",
                "partition",
                "offset",
                F.lit(datetime.now(UTC)).alias("replayed_at"),
                F.lit(DISCARDED).alias("outcome"),
                F.lit(reason).alias("reason"),
            ),
            check_locks,
        )
    log.info("discarded", extra={"letters": count, "reason": reason, "dry_run": dry_run})
    return count
