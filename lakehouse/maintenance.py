"""The same tables, kept fast and small: compaction, and expiry of old snapshots."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession

from lakehouse.bookmarks import snapshots_to_newest_bookmarks
from lakehouse.history import marked
from lakehouse.tables import CATALOG, DEAD_LETTERS, TABLES

RETAINED_SNAPSHOTS = 10

log = logging.getLogger("lakehouse.maintenance")


@dataclass(frozen=True)
class Compacted:
    """Counts of data files that were merged, and of those that took their place."""

    table: str
    rewritten: int
    added: int


def compact(spark: SparkSession) -> list[Compacted]:
    """Merge small files of a partition. Rows stay as they are, and so do all answers."""
    results = []
    for table in TABLES:
        row = spark.sql(
            f"CALL {CATALOG}.system.rewrite_data_files(table => :table)",
            {"table": table.identifier},
        ).collect()[0]
        result = Compacted(table.name, row.rewritten_data_files_count, row.added_data_files_count)
        log.info("compacted", extra=vars(result))
        results.append(result)
    return results


@dataclass(frozen=True)
class Expired:
    """Counts of files that no retained snapshot needs any more."""

    table: str
    data_files: int
    manifests: int


def expire(spark: SparkSession, older_than: timedelta) -> list[Expired]:
    """Drop snapshots that are older, but keep the newest ten, and bookmarks whatever their age."""
    before = datetime.now(UTC) - older_than
    results = []
    for table in TABLES:
        retained = max(RETAINED_SNAPSHOTS, snapshots_to_newest_bookmarks(spark, table))
        row = spark.sql(
            f"CALL {CATALOG}.system.expire_snapshots("
            "table => :table, older_than => :before, retain_last => :retained)",
            {"table": table.identifier, "before": before, "retained": retained},
        ).collect()[0]
        result = Expired(table.name, row.deleted_data_files_count, row.deleted_manifest_files_count)
        log.info("expired", extra=vars(result))
        results.append(result)
    return results


def clear_settled_letters(spark: SparkSession, older_than: timedelta) -> int:
    """Drop key, value and headers of dead letters that were settled before; returns how many.

    The rest of the letter stays: every message must remain accounted for. Open letters stay whole.
    """
    before = {"before": datetime.now(UTC) - older_than}
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
