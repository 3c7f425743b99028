"""Stage what replayed letters bring, and record what has become of them."""

from collections.abc import Callable
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.iceberg.branch_commit import replace_rows
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.iceberg.commit import unless_moved
from lakehouse.iceberg.file_tasks import write_rows
from lakehouse.iceberg.write_target import write_target
from lakehouse.messages.duplicates import POSITION, find_repeated
from lakehouse.messages.rows import duplicate_rows
from lakehouse.tables.append import append
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, staging_table, tables_of


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
            repeated = find_repeated(missing, staged, horizon)
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
