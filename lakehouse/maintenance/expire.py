"""Expire old snapshots and settled dead letters, and carry bookmarks forward."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import iceberg_table, java_class, snapshots
from lakehouse.iceberg.commit import TableMovedError, marked
from lakehouse.iceberg.table import Table
from lakehouse.maintenance.clock import checked_now
from lakehouse.tables.append import append
from lakehouse.tables.bookmarks import newest_bookmarks
from lakehouse.tables.definitions import DEAD_LETTERS, TABLES

RETAINED_SNAPSHOTS = 10
# To put bookmarks into the newest snapshot, where others commit to the table at the same time.
ATTEMPTS = 5

log = logging.getLogger("lakehouse.maintenance")


@dataclass(frozen=True)
class Expired:
    """Counts of files that no retained snapshot needs any more."""

    table: str
    data_files: int
    manifests: int


def expire(spark: SparkSession, older_than: timedelta) -> list[Expired]:
    """Drop snapshots that are older, but keep the newest ten, and bookmarks whatever their age.

    Returns how many files went, by table. Raises LakehouseError, before anything is deleted, if
    this machine's clock and the store's are more than five minutes apart.
    """
    before = checked_now(spark) - older_than
    return [_expire(spark, table, before) for table in TABLES]


def _expire(spark: SparkSession, table: Table, before: datetime) -> Expired:
    known = carry_forward(spark, table)
    deleted = _remove(spark, table, _expirable(spark, table, before))
    now = iceberg_table(spark, table)
    lost = known.keys() - newest_bookmarks(spark, now, now.currentSnapshot()).properties.keys()
    if lost:
        raise LakehouseError(
            f"{table.name} has lost bookmarks while snapshots were removed: {', '.join(lost)}",
            "Something else removes or rolls back snapshots: stop it. Then run jobs/audit.py --full"
            " before the next ingest",
        )
    result = Expired(table.name, deleted.deletedDataFilesCount(), deleted.deletedManifestsCount())
    log.info("expired", extra=vars(result))
    return result


def carry_forward(spark: SparkSession, table: Table) -> dict[str, str]:
    """Make the current snapshot carry all bookmarks, by an append without files if it does not.

    Commits of Iceberg's procedures and of SQL carry none, and the snapshots that do would have to
    be kept for as long as nothing else is appended. Returns the bookmarks.
    """
    for _ in range(ATTEMPTS):
        target = iceberg_table(spark, table)
        head = target.currentSnapshot()
        found = newest_bookmarks(spark, target, head)
        if found.depth <= 1:
            return found.properties
        with suppress(TableMovedError):
            append(spark, table, [], head.snapshotId(), {})
    raise LakehouseError(
        f"{table.name} changed {ATTEMPTS} times while its bookmarks were carried forward",
        "Run this again when there is less to do",
    )


def _expirable(spark: SparkSession, table: Table, before: datetime) -> list[int]:
    """Ids of what Iceberg would remove, less what would make a bookmark unreadable.

    Chosen from one state of the table and removed by id: whatever is committed in between, no other
    snapshot goes. The oldest ancestor that stays can read its bookmarks, so a rollback to any
    snapshot that stays can too.
    """
    target = iceberg_table(spark, table)
    update = target.expireSnapshots().expireOlderThan(int(before.timestamp() * 1000))
    chosen = [each.snapshotId() for each in update.retainLast(RETAINED_SNAPSHOTS).apply()]
    oldest = None
    for snapshot in snapshots(target):
        if snapshot.snapshotId() in chosen:
            break
        oldest = snapshot
    needed = newest_bookmarks(spark, target, oldest).depth
    kept = {each.snapshotId() for each in islice(snapshots(target, oldest), needed)}
    return [each for each in chosen if each not in kept]


def _remove(spark: SparkSession, table: Table, ids: list[int]) -> Any:
    """Remove snapshots, and the files that only they need; returns Iceberg's counts."""
    actions = java_class(spark._jvm, "org.apache.iceberg.spark.actions.SparkActions")
    action = actions.get(spark._jsparkSession).expireSnapshots(iceberg_table(spark, table))
    # By default it would also remove by age, and from whatever the table is by then.
    action = action.expireOlderThan(0)
    for each in ids:
        action = action.expireSnapshotId(each)
    return action.execute()


def clear_settled_letters(spark: SparkSession, older_than: timedelta) -> int:
    """Drop key, value and headers of dead letters that were settled before; returns how many.

    The rest of the letter stays: every message must remain accounted for. Open letters stay whole.
    """
    before = {"before": checked_now(spark) - older_than}
    has_payload = "key IS NOT NULL OR value IS NOT NULL OR headers IS NOT NULL"
    old = f"outcome IS NOT NULL AND replayed_at < :before AND ({has_payload})"
    table = DEAD_LETTERS.identifier
    count = spark.sql(f"SELECT 1 FROM {table} WHERE {old}", before).count()  # noqa: S608
    if count:
        cleared = "key = NULL, value = NULL, headers = NULL"
        with marked(spark):
            spark.sql(f"UPDATE {table} SET {cleared} WHERE {old}", before)  # noqa: S608
    log.info("cleared", extra={"table": DEAD_LETTERS.name, "letters": count})
    return count
