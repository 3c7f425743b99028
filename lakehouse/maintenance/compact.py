"""Merge small files."""

import logging
from dataclasses import dataclass

from pyspark.sql import SparkSession

from lakehouse.iceberg.table import CATALOG
from lakehouse.maintenance.expire import carry_forward
from lakehouse.tables.definitions import TABLES

log = logging.getLogger("lakehouse.maintenance")


@dataclass(frozen=True)
class Compacted:
    """Counts of data files that were merged, and of those that took their place."""

    table: str
    rewritten: int
    added: int


def compact(spark: SparkSession) -> list[Compacted]:
    """Merge small files of a partition, and those with deleted rows; all answers stay the same.

    Returns how many files became how many, by table. May run beside an ingest.
    """
    results = []
    for table in TABLES:
        row = spark.sql(
            # Files of deletes, which Trino writes, slow every ingest down.
            f"CALL {CATALOG}.system.rewrite_data_files(table => :table, options => map("
            "'delete-file-threshold', '1', 'remove-dangling-deletes', 'true'))",
            {"table": table.identifier},
        ).collect()[0]
        carry_forward(spark, table)
        result = Compacted(table.name, row.rewritten_data_files_count, row.added_data_files_count)
        log.info("compacted", extra=vars(result))
        results.append(result)
    return results
