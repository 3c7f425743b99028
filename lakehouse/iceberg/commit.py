"""Files or rows -> a table: one change, and only on top of the snapshot that was looked at."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import iceberg_table, java_class, json_mapper, snapshots
from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.table import Table
from lakehouse.retry import cause

# Of one append, where others commit to the table at the same time.
ATTEMPTS = 5
# A property of each snapshot that our code commits: the name of the job.
JOB = "lakehouse.job"
_SESSION_PROPERTY = f"spark.sql.iceberg.snapshot-property.{JOB}"

log = logging.getLogger("lakehouse.iceberg")
Result = TypeVar("Result")


class TableMovedError(Exception):
    """Another commit came first, or this one broke on its way; main is as it was."""


def append(
    spark: SparkSession,
    table: Table,
    files: Sequence[DataFile],
    after: int | None,
    properties_after: Callable[[Any, Any], Mapping[str, str]],
) -> int:
    """Add files to a table whose current snapshot is still `after`, else TableMovedError.

    `properties_after` gives the new snapshot's properties, from the table and that snapshot or
    None. Returns how many rows. Without files the snapshot holds the properties alone.
    """
    target = iceberg_table(spark, table)
    spec = target.spec()
    unpartitioned = spec
    if any(file.partition is None for file in files):
        unpartitioned = _unpartitioned(target)
        target.refresh()
    # newAppend may merge small manifests; with no files there is nothing to merge.
    update = target.newAppend() if files else target.newFastAppend()
    mapper = json_mapper(spark._jvm)
    parser = java_class(spark._jvm, "org.apache.iceberg.ContentFileParser")
    for file in files:
        of_file = unpartitioned if file.partition is None else spec
        described = mapper.readTree(file.in_json(of_file.specId()))
        update.appendFile(parser.fromJson(described, of_file))
    head = None if after is None else target.snapshot(after)
    job = {JOB: str(spark.sparkContext.appName)}
    for key, value in {**job, **properties_after(target, head)}.items():
        update.set(key, value)
    _swap(spark, table, target, update.apply(), after)
    return sum(file.rows for file in files)


@contextmanager
def marked(spark: SparkSession) -> Iterator[None]:
    """Put JOB into the snapshots that Spark commits within this context."""
    spark.conf.set(_SESSION_PROPERTY, str(spark.sparkContext.appName))
    try:
        yield
    finally:
        spark.conf.unset(_SESSION_PROPERTY)


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
            warn("the answer to a commit was lost", table, error)
        elif "CommitFailedException" in str(error):
            raise TableMovedError(f"{table.name} has a newer snapshot") from error
        else:
            raise


def warn(what: str, table: Table, error: Exception) -> None:
    log.warning(what, extra={"table": table.name, "cause": cause(error)})


def unless_moved(topic: str, step: Callable[[], Result]) -> Result:
    """Repeat a step that looks at tables and changes them, if others changed them in between."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return step()
        except TableMovedError as error:
            log.warning(f"{error}; comparing again", extra={"attempt": attempt})
    raise LakehouseError(
        f"The tables of {topic} changed {ATTEMPTS} times while they were compared",
        "Run this again when their maintenance is done",
    )
