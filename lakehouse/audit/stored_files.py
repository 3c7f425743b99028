"""The files that tables list, compared with those that the object store holds."""

from collections.abc import Iterator

from pyspark.sql import SparkSession

from lakehouse.iceberg.catalog import iceberg_table
from lakehouse.iceberg.table import Table


def damaged_files(spark: SparkSession, table: Table) -> Iterator[str]:
    """List data and delete files of the current snapshot that are missing or of another size."""
    files = spark.table(f"{table.identifier}.files").select("file_path", "file_size_in_bytes")
    listed = {row.file_path: row.file_size_in_bytes for row in files.collect()}
    if not listed:
        return
    loaded = iceberg_table(spark, table)
    # One listing of a folder, instead of one request per file.
    infos = loaded.io().listPrefix(f"{loaded.location()}/").iterator()
    found = {}
    while infos.hasNext():
        info = infos.next()
        found[info.location()] = info.size()
    for path, size in listed.items():
        if path not in found:
            # Files may be elsewhere, such as those that were added to the table as they were.
            file = loaded.io().newInputFile(path)
            if not file.exists():
                yield f"{path} is missing"
                continue
            found[path] = file.getLength()
        if found[path] != size:
            yield f"{path} has {found[path]:,} bytes instead of {size:,}"
