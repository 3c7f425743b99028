"""Files or rows -> a table: one change, and only on top of the snapshot that was looked at."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from lakehouse.audit.foreign_changes import JOB, marked
from lakehouse.iceberg.catalog import iceberg_table, java_class, json_mapper, snapshots
from lakehouse.iceberg.data_file import DataFile
from lakehouse.retry import cause
from lakehouse.tables.bookmarks import carried_forward
from lakehouse.tables.definitions import Table

# A branch that a killed process left behind holds its snapshots no longer than this.
BRANCH_AGE_MS = 24 * 60 * 60 * 1000

log = logging.getLogger("lakehouse.iceberg")


class TableMovedError(Exception):
    """Another commit came first, or this one broke on its way; main is as it was."""


def append(
    spark: SparkSession,
    table: Table,
    files: Sequence[DataFile],
    after: int | None,
    properties: Mapping[str, str],
) -> int:
    """Add files to a table whose current snapshot is still `after`, else TableMovedError.

    Returns how many rows. Without files the snapshot holds the properties alone. Each snapshot
    carries the bookmarks of all topics forward, so that its ancestors need not be kept for them.
    """
    target = iceberg_table(spark, table)
    spec = target.spec()
    unpartitioned = spec
    if any(file.partition is None for file in files):
        unpartitioned = _unpartitioned(target)
        target.refresh()
    # One that merges small lists of files at times, or one that has nothing to merge.
    update = target.newAppend() if files else target.newFastAppend()
    mapper = json_mapper(spark._jvm)
    parser = java_class(spark._jvm, "org.apache.iceberg.ContentFileParser")
    for file in files:
        of_file = unpartitioned if file.partition is None else spec
        described = mapper.readTree(file.in_json(of_file.specId()))
        update.appendFile(parser.fromJson(described, of_file))
    head = None if after is None else target.snapshot(after)
    ours = {JOB: str(spark.sparkContext.appName), **properties}
    for key, value in carried_forward(spark, target, head, ours).items():
        update.set(key, value)
    _swap(spark, table, target, update.apply(), after)
    return sum(file.rows for file in files)


def _unpartitioned(target: Any) -> Any:
    """A table's partitioning without fields, for files that hold rows of many partitions.

    It is added beside the current one, which stays what all other writers use.
    """
    known = (spec for spec in target.specs().values() if spec.isUnpartitioned())
    if found := next(known, None):
        return found
    update = target.updateSpec()
    for field in target.spec().fields():
        update.removeField(field.name())
    update.addNonDefaultSpec().commit()
    target.refresh()
    return _unpartitioned(target)


def _swap(spark: SparkSession, table: Table, target: Any, snapshot: Any, after: int | None) -> None:
    """Make a snapshot the table's next, in one commit that another's before it makes fail.

    Iceberg's own commit would go on top of whatever is there by then, also that of a writer which
    was paused, and woke when another had long taken over. The answer can be lost after it was
    carried out; and Iceberg's JDBC catalog sends such a commit again, and takes the refusal of the
    second for a failure of the first. What is done is told by the table alone.
    """
    operations = target.operations()
    base = operations.current()
    if snapshot.parentId() != after:
        raise TableMovedError(f"{table.name} has a newer snapshot")
    metadata = java_class(spark._jvm, "org.apache.iceberg.TableMetadata")
    following = metadata.buildFrom(base).setBranchSnapshot(snapshot, "main").build()
    try:
        operations.commit(base, following)
    except (PySparkException, Py4JJavaError) as error:
        found = iceberg_table(spark, table)
        if snapshot.snapshotId() in (each.snapshotId() for each in snapshots(found)):
            _warn("the answer to a commit was lost", table, error)
        elif "CommitFailedException" in str(error):
            raise TableMovedError(f"{table.name} has a newer snapshot") from error
        else:
            raise


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

    with marked(spark):
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
        _warn("the answer to a commit was lost", table, error)
    if after is None:
        # An empty snapshot was made for the branch to begin with.
        made = iceberg_table(spark, table)
        _require_whole(made.snapshot(branch), None, made, table)


def _require_whole(head: Any, after: int | None, target: Any, table: Table) -> None:
    """TableMovedError where files that say what the snapshots since `after` hold are not there."""
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
            _warn("the answer to a commit was lost", table, error)
            return head
        if "Cannot fast-forward" in str(error) or "CommitFailedException" in str(error):
            raise TableMovedError(f"{table.name} has a newer snapshot") from error
        raise
    return head


def _remove(branch: str, spark: SparkSession, table: Table) -> None:
    """Never fails: the rows are where they are, and expiry drops a branch past its age."""
    try:
        target = iceberg_table(spark, table)
        if branch in target.refs():
            target.manageSnapshots().removeBranch(branch).commit()
    except (PySparkException, Py4JJavaError) as error:
        _warn("branch not removed", table, error)


def _warn(what: str, table: Table, error: Exception) -> None:
    log.warning(what, extra={"table": table.name, "cause": cause(error)})
