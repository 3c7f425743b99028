"""Iceberg's history of a table -> what others than our jobs changed since a snapshot."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.iceberg.catalog import as_dict, iceberg_table, snapshots
from lakehouse.iceberg.commit import JOB
from lakehouse.iceberg.table import Table
from lakehouse.tables.bookmarks import is_bookmark

# Files and delete files that a commit added or removed; without any it changed no row.
_FILES = ("added-data-files", "deleted-data-files", "added-delete-files", "removed-delete-files")
_ROWS = ("deleted-records", "added-records", "added-position-deletes", "added-equality-deletes")
# What engines say of themselves.
_ENGINE = ("engine-version", "trino_query_id", "trino_user", "app-id", "app-name")


def changes_by_others(
    spark: SparkSession, table: Table, until: int | None, since: int | None
) -> Iterator[str]:
    """Yield a sentence for each snapshot that others committed after `since`, newest first.

    None is a table without a snapshot. A compaction, by whomever, changes no row and is left out.
    """
    found = iceberg_table(spark, table)
    head = None if until is None else found.snapshot(until)
    parent = None
    for snapshot in snapshots(found, head) if head else ():
        if snapshot.snapshotId() == since:
            return
        summary = as_dict(spark._jvm, snapshot.summary())
        if not _is_ours(summary) and _changes_rows(snapshot.operation(), summary):
            yield _sentence(table, snapshot, summary)
        parent = snapshot.parentId()
    if since is not None:
        yield (
            f"{table.name}: snapshot {since}, at which the last audit looked, is not in "
            "its history: the table was rolled back, or the snapshot has expired"
        )
    elif parent is not None:
        yield f"{table.name}: its first snapshots have expired before an audit looked at them"


def _is_ours(summary: Mapping[str, str]) -> bool:
    return JOB in summary or any(map(is_bookmark, summary))


def _changes_rows(operation: str, summary: Mapping[str, str]) -> bool:
    if operation == "replace":
        return summary.get("added-records", "0") != summary.get("deleted-records", "0")
    return any(int(summary.get(name, 0)) for name in _FILES)


def _sentence(table: Table, snapshot: Any, summary: Mapping[str, str]) -> str:
    at = datetime.fromtimestamp(snapshot.timestampMillis() / 1000, UTC)
    engine = summary.get("engine-name", "an unknown engine")
    details = ", ".join(f"{name} {summary[name]}" for name in _ENGINE if name in summary)
    rows = ", ".join(f"{name} {summary[name]}" for name in _ROWS if name in summary)
    return (
        f"{table.name}: {snapshot.operation()} by {engine} ({details}) at {at:%Y-%m-%d %H:%M:%S} "
        f"UTC in snapshot {snapshot.snapshotId()} ({rows or 'no rows'})"
    )
