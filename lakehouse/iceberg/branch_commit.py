"""Replace files of a table on a branch of its own, to which main is taken at once."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from lakehouse.iceberg.catalog import iceberg_table, snapshots
from lakehouse.iceberg.commit import TableMovedError, marked, warn
from lakehouse.iceberg.table import Table

# A branch that a killed process left behind holds its snapshots no longer than this.
BRANCH_AGE_MS = 24 * 60 * 60 * 1000


def replace_rows(
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

    with marked(spark):
        return int(_commit(spark, table, after, write).snapshotId())


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
    try:
        _create(branch, after, spark, table)
        write(branch)
        return _take_main_to(branch, after, spark, table)
    finally:
        _remove(branch, spark, table)


# The answer to each of these commits can be lost after it was carried out. What is done then is
# told by the table alone: nobody else has this branch. Worse, Iceberg's JDBC catalog sends such a
# commit again, and takes the refusal of the second for a failure of the first: it deletes files
# that the first has just made part of the table. They are the branch's then, and never main's.


def _create(branch: str, after: int | None, spark: SparkSession, table: Table) -> None:
    update = iceberg_table(spark, table).manageSnapshots()
    update = update.createBranch(branch) if after is None else update.createBranch(branch, after)
    try:
        update.setMaxRefAgeMs(branch, BRANCH_AGE_MS).commit()
    except (PySparkException, Py4JJavaError) as error:
        if branch not in iceberg_table(spark, table).refs():
            raise
        warn("the answer to a commit was lost", table, error)
    if after is None:
        # An empty snapshot was made for the branch to begin with.
        made = iceberg_table(spark, table)
        _require_whole(made.snapshot(branch), None, made, table)


def _require_whole(head: Any, after: int | None, target: Any, table: Table) -> None:
    """Raise TableMovedError if a snapshot newer than `after` lacks a manifest or their list."""
    io = target.io()

    def exists(path: str) -> bool:
        return bool(io.newInputFile(path).exists())

    for snapshot in snapshots(target, head):
        if snapshot.snapshotId() == after:
            return
        is_whole = exists(snapshot.manifestListLocation()) and all(
            exists(manifest.path())
            for manifest in snapshot.allManifests(io)
            if manifest.snapshotId() == snapshot.snapshotId()
        )
        if not is_whole:
            raise TableMovedError(f"{table.name} has a snapshot whose files Iceberg has deleted")


def _take_main_to(branch: str, after: int | None, spark: SparkSession, table: Table) -> Any:
    """Returns the branch's newest snapshot."""
    target = iceberg_table(spark, table)
    head = target.snapshot(branch)
    _require_whole(head, after, target, table)
    try:
        target.manageSnapshots().fastForwardBranch("main", branch).commit()
    except (PySparkException, Py4JJavaError) as error:
        found = iceberg_table(spark, table)
        if head.snapshotId() in (snapshot.snapshotId() for snapshot in snapshots(found)):
            warn("the answer to a commit was lost", table, error)
            return head
        if "Cannot fast-forward" in str(error) or "CommitFailedException" in str(error):
            raise TableMovedError(f"{table.name} has a newer snapshot") from error
        raise
    return head


def _remove(branch: str, spark: SparkSession, table: Table) -> None:
    """Remove a branch, or log a warning: expiry drops a branch past its age."""
    try:
        target = iceberg_table(spark, table)
        if branch in target.refs():
            target.manageSnapshots().removeBranch(branch).commit()
    except (PySparkException, Py4JJavaError) as error:
        warn("branch not removed", table, error)
