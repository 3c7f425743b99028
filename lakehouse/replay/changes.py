"""Placed messages -> what has to be changed in each table, and the change itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.iceberg.branch_commit import replace_rows
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.iceberg.table import Table
from lakehouse.messages.duplicates import POSITION
from lakehouse.messages.rows import dead_letter_rows, duplicate_rows, messages_of
from lakehouse.replay.placement import (
    NEW_DUPLICATE,
    NEW_LETTER,
    NEW_ROW,
    NEWLY_SETTLED,
    SETTLED_AS,
    STAGED,
)
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, staging_table


@dataclass(frozen=True)
class Change:
    """A change of one table: rows at the positions `gone` are deleted, `rows` are added."""

    table: Table
    gone: DataFrame
    rows: DataFrame


@dataclass(frozen=True)
class Placement:
    """Messages, decoded; their places; and what find_repeated said of some of them."""

    contract: Contract
    decoded: DataFrame
    places: DataFrame
    repeated: DataFrame | None
    letters: DataFrame

    def _change(self, table: Table, gone: str, rows: DataFrame) -> Change:
        """What goes is a condition on places."""
        positions = self.places.where(gone).select(POSITION)
        positions = positions.toDF(table.partition_column, table.offset_column)
        if "topic" in table.column_names:
            positions = positions.withColumn("topic", F.lit(self.contract.topic))
        return Change(table, positions, rows.select(table.column_names))

    def dead(self, value_limit: int, now: datetime) -> Change:
        """Letters of messages that break the contract; one that was there is tried once more."""
        new = self.places.where(NEW_LETTER)
        verdicts = new.select(*POSITION, "error_class", "error_detail")
        messages = self.decoded.drop("error_class", "error_detail").join(verdicts, POSITION)
        before = new.select(*POSITION, F.col("letter.attempt").alias("tried"))
        before = before.toDF("partition", "offset", "tried")
        letters = (
            dead_letter_rows(self.contract, messages_of(messages), value_limit)
            .join(before, ["partition", "offset"])
            .withColumns(
                {
                    "attempt": F.coalesce("tried", F.lit(0)) + 1,
                    "replayed_at": F.when(F.isnotnull("tried"), F.lit(now)),
                }
            )
        )
        return self._change(DEAD_LETTERS, f"{NEW_LETTER} AND letter IS NOT NULL", letters)

    def staged(self) -> Change:
        there = self.places.where(f"place = '{STAGED}' AND {NEW_ROW}").select(POSITION)
        rows = self.decoded.join(there, POSITION, "left_semi")
        return self._change(staging_table(self.contract), f"{NEW_ROW} AND copies > 0", rows)

    def duplicates(self, none: DataFrame) -> Change:
        rows = none if self.repeated is None else duplicate_rows(self.contract, self.repeated)
        return self._change(DUPLICATES, f"{NEW_DUPLICATE} AND is_duplicate", rows)

    def settled(self, now: datetime) -> Change:
        """Letters of messages that are rows of another table; they keep their reasons."""
        settled = self.places.where(NEWLY_SETTLED).selectExpr(*POSITION, f"{SETTLED_AS} AS settled")
        letters = (
            self.letters.dropDuplicates(POSITION)
            .join(settled, POSITION)
            .withColumns(
                {
                    "contract_version": F.lit(self.contract.version),
                    "attempt": F.col("attempt") + 1,
                    "replayed_at": F.lit(now),
                    "outcome": F.col("settled"),
                }
            )
        )
        return self._change(DEAD_LETTERS, NEWLY_SETTLED, letters)


class TableVersions:
    """The tables of one topic, and the changes made, or in a dry run only counted."""

    def __init__(
        self, spark: SparkSession, topic: str, dry_run: bool, check_locks: Callable[[], None]
    ):
        self._spark = spark
        self._topic = topic
        self._dry_run = dry_run
        self._check_locks = check_locks
        self._foreseen: dict[Table, DataFrame] = {}
        self._snapshots: dict[Table, int | None] = {}

    def rows(self, table: Table) -> DataFrame:
        """Return the topic's rows with their POSITION."""
        if table in self._foreseen:
            return self._foreseen[table]
        rows = self._spark.table(table.identifier)
        if "topic" in table.column_names:
            rows = rows.where(F.col("topic") == self._topic)
        return _positioned(rows, table)

    def look(self, tables: Iterable[Table]) -> None:
        """Note the current snapshots: changes applied later were computed from them."""
        for table in tables:
            self._snapshots[table] = current_snapshot(self._spark, table)

    def apply(self, change: Change) -> None:
        """TableMovedError if the table is no longer the one that was looked at."""
        table = change.table
        if self._dry_run:
            left = self.rows(table).join(change.gone, table.position, "left_anti")
            rows = left.select(table.column_names).unionByName(change.rows.localCheckpoint())
            self._foreseen[table] = _positioned(rows, table)
            return
        self._check_locks()
        gone = None if change.gone.isEmpty() else change.gone
        at = self._snapshots[table]
        self._snapshots[table] = replace_rows(self._spark, table, gone, change.rows, at)


def _positioned(rows: DataFrame, table: Table) -> DataFrame:
    at = (table.partition_column, table.offset_column)
    return rows.withColumns({ours: F.col(its) for ours, its in zip(POSITION, at, strict=True)})
