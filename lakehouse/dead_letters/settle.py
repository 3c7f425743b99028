"""ops.dead_letters, looked at and settled: counted, shown, replayed, discarded."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.dead_letters.browse import Selection, dead_letters
from lakehouse.dead_letters.stage import settle, stage_missing
from lakehouse.messages.decode import decode
from lakehouse.messages.duplicates import CONFLICT, CONFLICT_DETAIL, POSITION
from lakehouse.messages.outcomes import DISCARDED, DUPLICATE, IS_OPEN, REPLAYED

log = logging.getLogger("lakehouse.dead_letters")


@dataclass(frozen=True)
class LetterReplay:
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
) -> list[LetterReplay]:
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
) -> LetterReplay:
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
        result = LetterReplay(contract.topic, tried, passed, staged, duplicate, dead, cut, by_class)
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
