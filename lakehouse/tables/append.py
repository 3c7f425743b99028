"""Files -> a table, in a snapshot that carries the bookmarks of all topics forward."""

from collections.abc import Mapping, Sequence

from pyspark.sql import SparkSession

from lakehouse.iceberg import commit
from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.table import Table
from lakehouse.tables.bookmarks import carried_forward


def append(
    spark: SparkSession,
    table: Table,
    files: Sequence[DataFile],
    after: int | None,
    properties: Mapping[str, str],
) -> int:
    """Add files to a table whose current snapshot is still `after`, else TableMovedError.

    Returns the number of rows. Without files the snapshot holds the properties alone. The snapshot
    repeats the newest bookmark of each topic, so that none of its ancestors has to be kept for one.
    """
    return commit.append(
        spark,
        table,
        files,
        after,
        lambda found, head: carried_forward(spark, found, head, properties),
    )
