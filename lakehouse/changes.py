"""The rows that a table must hold, and those that it holds -> what has to be changed in it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.commit import iceberg_table, replace
from lakehouse.duplicates import POSITION
from lakehouse.tables import Table


@dataclass(frozen=True)
class Change:
    """Of one table: positions whose rows are others than they must be, and the rows for them."""

    table: Table
    positions: DataFrame
    rows: DataFrame | None
    # Whether the table holds rows at the positions.
    deletes: bool


def change(table: Table, wanted: DataFrame, held: DataFrame) -> Change | None:
    """None if they are the same rows, each as often; nulls are equal.

    What it returns doesn't read the table again, nor what `wanted` is made from.
    """
    columns = table.column_names
    both = wanted.select(*columns, F.lit(1).alias("n")).unionByName(
        held.select(*columns, F.lit(-1).alias("n"))
    )
    excess = both.groupBy(columns).agg(F.sum("n").alias("n")).where("n != 0")
    positions = (
        excess.groupBy(table.position)
        .agg(F.min("n").alias("least"), F.max("n").alias("most"))
        .localCheckpoint()
    )
    signs = positions.agg(F.min("least").alias("least"), F.max("most").alias("most")).head()
    if signs is None or signs.least is None:
        return None
    positions = positions.select(table.position)
    rows = wanted.join(positions, table.position, "left_semi").select(columns).localCheckpoint()
    return Change(table, positions, None if rows.isEmpty() else rows, signs.least < 0)


def positions_of(changes: Iterable[Change | None], like: DataFrame) -> DataFrame:
    """POSITION of all that is changed in any table; none has the types of `like`."""
    changed = [c.positions.select(c.table.position[-2:]).toDF(*POSITION) for c in changes if c]
    return reduce(DataFrame.union, changed, like.select(POSITION).limit(0)).distinct()


class Tables:
    """Those of one topic, and what was changed in them; in a dry run, what would have been."""

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
        """Those of the topic, with their POSITION."""
        if table in self._foreseen:
            return self._foreseen[table]
        rows = self._spark.table(table.identifier)
        if "topic" in table.column_names:
            rows = rows.where(F.col("topic") == self._topic)
        at = (table.partition_column, table.offset_column)
        return rows.withColumns({ours: F.col(its) for ours, its in zip(POSITION, at, strict=True)})

    def look(self, tables: Iterable[Table]) -> None:
        """What is applied after this was worked out from what is current now."""
        for table in tables:
            snapshot = iceberg_table(self._spark, table).currentSnapshot()
            self._snapshots[table] = snapshot.snapshotId() if snapshot else None

    def apply(self, change: Change) -> None:
        """TableMovedError if the table is no longer the one that was looked at."""
        table, rows = change.table, change.rows
        if self._dry_run:
            left = self.rows(table).join(change.positions, table.position, "left_anti")
            self._foreseen[table] = left.unionByName(rows) if rows else left
            return
        self._check_locks()
        gone = change.positions if change.deletes else None
        self._snapshots[table] = replace(self._spark, table, gone, rows, self._snapshots[table])
