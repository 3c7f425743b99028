"""Rows -> a table: one change, and only on top of the snapshot that they were worked out from."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from lakehouse.tables import Table

# A branch that a killed process left behind holds its snapshots no longer than this.
BRANCH_AGE_MS = 24 * 60 * 60 * 1000


class TableMovedError(Exception):
    """Another commit came first; nothing was changed."""


def iceberg_table(spark: SparkSession, table: Table) -> Any:
    """org.apache.iceberg.Table, as it is now: a tenth of the cost of a query on its metadata."""
    loader = spark._jvm.org.apache.iceberg.spark.Spark3Util  # type: ignore[union-attr]
    return loader.loadIcebergTable(spark._jsparkSession, table.identifier)


def snapshots(table: Any) -> Iterator[Any]:
    """org.apache.iceberg.Snapshot, from the current one back to the oldest that is left."""
    snapshot = table.currentSnapshot()
    while snapshot:
        yield snapshot
        parent = snapshot.parentId()
        snapshot = None if parent is None else table.snapshot(parent)


def append(
    spark: SparkSession,
    table: Table,
    rows: DataFrame | None,
    after: int | None,
    properties: Mapping[str, str],
) -> int:
    """Add rows to a table whose current snapshot is still `after`, else TableMovedError.

    Returns how many. Without rows it takes no Spark job: the snapshot holds the properties alone.
    """

    def write(branch: str) -> None:
        if rows is None:
            nothing = iceberg_table(spark, table).newFastAppend().toBranch(branch)
            for key, value in properties.items():
                nothing.set(key, value)
            nothing.commit()
        else:
            options = {f"snapshot-property.{key}": value for key, value in properties.items()}
            rows.writeTo(f"{table.identifier}.branch_{branch}").options(**options).append()

    head = _commit(spark, table, after, write)
    return int(head.summary().get("added-records") or 0)


def replace(
    spark: SparkSession, table: Table, held: DataFrame | None, rows: DataFrame, after: int | None
) -> int:
    """Delete the rows at the positions `held` and add others, at once, under append's condition.

    Returns the id of the new snapshot. A position has the columns of `table.position`.
    """

    def write(branch: str) -> None:
        target = f"{table.identifier}.branch_{branch}"
        if held is not None:
            is_there = " AND ".join(f"old.{name} = held.{name}" for name in table.position)
            merge = f"MERGE INTO {target} old USING {{held}} held ON {is_there}"
            spark.sql(f"{merge} WHEN MATCHED THEN DELETE", held=held)
        rows.writeTo(target).append()

    return _commit(spark, table, after, write).snapshotId()


def _commit(
    spark: SparkSession, table: Table, after: int | None, write: Callable[[str], None]
) -> Any:
    """Make what `write` commits to a branch the table's; returns the newest snapshot of it.

    A plain commit goes on top of whatever is there, also that of a writer which was paused, and
    woke when another had long taken over. So it goes to a branch that begins at `after`; and
    Iceberg takes the table's main branch forward to it only if main ends there. Readers see all
    of it, or nothing.
    """
    branch = f"append_{uuid4().hex}"
    target = iceberg_table(spark, table)
    create = target.manageSnapshots()
    create = create.createBranch(branch) if after is None else create.createBranch(branch, after)
    create.setMaxRefAgeMs(branch, BRANCH_AGE_MS).commit()
    try:
        write(branch)
        return _take_main_to(branch, spark, table)
    finally:
        _remove(branch, spark, table)


def _take_main_to(branch: str, spark: SparkSession, table: Table) -> Any:
    """Returns the branch's newest snapshot."""
    target = iceberg_table(spark, table)
    head = target.snapshot(branch)
    try:
        target.manageSnapshots().fastForwardBranch("main", branch).commit()
    except (PySparkException, Py4JJavaError) as error:
        # The answer of a commit can be lost after it was carried out.
        found = iceberg_table(spark, table)
        if head.snapshotId() in (snapshot.snapshotId() for snapshot in snapshots(found)):
            return head
        if "Cannot fast-forward" in str(error) or "CommitFailedException" in str(error):
            raise TableMovedError(f"{table.name} has a newer snapshot") from error
        raise
    return head


def _remove(branch: str, spark: SparkSession, table: Table) -> None:
    target = iceberg_table(spark, table)
    if branch in target.refs():
        target.manageSnapshots().removeBranch(branch).commit()
