"""Replay and discard dead letters; those that pass the contract of today are staged."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.dead_letters.browse import Selection, dead_letters
from lakehouse.iceberg.branch_commit import replace_rows
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.iceberg.commit import unless_moved
from lakehouse.iceberg.file_tasks import write_rows
from lakehouse.iceberg.write_target import write_target
from lakehouse.messages.decode import decode
from lakehouse.messages.duplicates import CONFLICT, POSITION, conflict_detail, find_repeated
from lakehouse.messages.outcomes import DISCARDED, DUPLICATE, IS_OPEN, REPLAYED
from lakehouse.messages.rows import duplicate_rows
from lakehouse.tables.append import append
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, staging_table, tables_of

log = logging.getLogger("lakehouse.dead_letters")


@dataclass(frozen=True)
class LetterReplay:
    """Counts of dead letters of one topic after a replay."""

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
    replay finds them staged, and marks them. The others get their new verdict. An id is looked up
    in the days up to `horizon` from its own. `check_locks` raises LakehouseError once the lock of a
    topic is lost, which `writer_locks` gives.

    Returns one result per topic, with counts of letters.
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
        verdicts = _verdicts(contract, decoded, repeated)
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
    """Return letters with the columns of Spark's Kafka source, as the decoder expects them."""
    # The type of the timestamp is not kept, and no contract asks for it.
    return letters.withColumnRenamed("kafka_timestamp", "timestamp").withColumn(
        "timestampType", F.lit(0)
    )


def _verdicts(contract: Contract, decoded: DataFrame, repeated: DataFrame | None) -> DataFrame:
    """partition, offset, error_class, error_detail, is_duplicate."""
    verdicts = decoded.select(*POSITION, "error_class", "error_detail")
    if repeated is None:
        verdicts = verdicts.withColumn("is_same", F.lit(None).cast("boolean"))
    else:
        verdicts = verdicts.join(repeated.select(*POSITION, "is_same"), POSITION, "left")
    conflicts = F.col("is_same").eqNullSafe(False)
    detail = conflict_detail(contract) if contract.repeats_by else ""
    return verdicts.select(
        F.col("kafka_partition").alias("partition"),
        F.col("kafka_offset").alias("offset"),
        F.when(conflicts, CONFLICT).otherwise(F.col("error_class")).alias("error_class"),
        F.when(conflicts, detail).otherwise(F.col("error_detail")).alias("error_detail"),
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
        # A letter that now passes keeps its original error.
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
    """Settle open letters as never to be staged, with a reason that stays in each.

    `check_locks` is that of `replay`. Returns how many letters were settled, or would be.
    """
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


def stage_missing(
    contract: Contract,
    accepted: DataFrame,
    horizon: timedelta,
    dry_run: bool,
    check_locks: Callable[[], None],
) -> tuple[int, DataFrame | None]:
    """Stage what staging does not hold, once however often; duplicates go to theirs.

    Returns how many were staged, and find_repeated's answer where the topic has one.
    """
    spark, staging = accepted.sparkSession, staging_table(contract)
    count = 0

    def step() -> DataFrame | None:
        nonlocal count
        # Before the ids are looked at: what is committed after that moves the tables.
        at, duplicates_at = (current_snapshot(spark, table) for table in (staging, DUPLICATES))
        staged = spark.table(staging.identifier)
        missing = accepted.select(staging.column_names).join(staged, POSITION, "left_anti")
        repeated = None
        if DUPLICATES in tables_of(contract):
            repeated = find_repeated(contract, missing, staged, horizon)
            missing = missing.join(repeated, POSITION, "left_anti")
        if dry_run:
            return repeated
        files = write_rows(missing, write_target(spark, staging))
        check_locks()
        count += append(spark, staging, files, at, {})
        if repeated is not None:
            known = spark.table(DUPLICATES.identifier)
            fresh = duplicate_rows(contract, repeated)
            fresh = fresh.join(known, ["topic", "partition", "offset"], "left_anti")
            files = write_rows(fresh, write_target(spark, DUPLICATES))
            check_locks()
            append(spark, DUPLICATES, files, duplicates_at, {})
        return repeated

    repeated = unless_moved(contract.topic, step)
    return count, repeated


def settle(verdicts: DataFrame, check_locks: Callable[[], None]) -> int:
    """Change open dead letters, found by topic, partition and offset, in all other columns.

    Returns how many were changed: one that was settled in the meantime is left as it is.
    """
    spark, position = verdicts.sparkSession, DEAD_LETTERS.position
    changed = [name for name in verdicts.columns if name not in position]
    # A commit makes Spark forget what it holds of the table, and work it out anew.
    verdicts = verdicts.withColumnsRenamed({name: f"new_{name}" for name in changed})
    verdicts = verdicts.localCheckpoint()

    def step() -> int:
        at = current_snapshot(spark, DEAD_LETTERS)
        letters = spark.table(DEAD_LETTERS.identifier).where("outcome IS NULL")
        rows = letters.join(verdicts, position).select(
            *(
                F.col(f"new_{name}").alias(name) if name in changed else name
                for name in DEAD_LETTERS.column_names
            )
        )
        rows = rows.localCheckpoint()
        count = rows.count()
        if count:
            check_locks()
            replace_rows(spark, DEAD_LETTERS, rows.select(position), rows, at)
        return count

    return unless_moved(DEAD_LETTERS.name, step)
