"""Rows of Spark <-> Parquet files of a table, in tasks."""

from collections.abc import Callable, Iterable, Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.file_writer import FileWriter, remove
from lakehouse.iceberg.storage import object_key
from lakehouse.iceberg.write_target import WriteTarget

_FILES = "files binary"


Batches = Iterator[pa.RecordBatch]


def write_rows(rows: DataFrame, layout: WriteTarget) -> list[DataFile]:
    """Files of a table's columns, by name."""

    def write(batches: Iterable[pa.RecordBatch]) -> Batches:
        writer = FileWriter(layout)
        for batch in batches:
            writer.add(batch.columns)
        yield packed(writer.close())

    return collected(rows.select(layout.schema.names).mapInArrow(write, _FILES))


def read_rows(
    spark: SparkSession,
    layout: WriteTarget,
    files: list[DataFile],
    keep: Callable[[pa.Table], pa.Array],
) -> DataFrame:
    """The rows of files for which `keep`, called with a row group, is true."""

    def read(batches: Iterable[pa.RecordBatch]) -> Batches:
        for file in _chosen(batches, files):
            for group in _row_groups(layout, file):
                rows = group.filter(keep(group))
                yield from rows.replace_schema_metadata(None).to_batches()

    return _per_file(spark, files).mapInArrow(read, from_arrow_schema(layout.schema))


def rewrite(
    spark: SparkSession,
    layout: WriteTarget,
    files: list[DataFile],
    keep: Callable[[pa.Table], pa.Array],
    columns: list[str],
) -> list[DataFile]:
    """Rewrite files without the rows for which `keep` is not true; a file that loses none stays.

    `keep` looks at these `columns`. One row group is in memory at a time.
    """

    def write(batches: Iterable[pa.RecordBatch]) -> Batches:
        for file in _chosen(batches, files):
            kept = [keep(group) for group in _row_groups(layout, file, columns)]
            if all(pc.all(each).as_py() for each in kept):
                yield packed([file])
                continue
            writer = FileWriter(layout)
            for group, is_kept in zip(_row_groups(layout, file), kept, strict=True):
                for batch in group.filter(is_kept).to_batches():
                    writer.add(batch.columns)
            yield packed(writer.close())

    written = collected(_per_file(spark, files).mapInArrow(write, _FILES))
    remove(layout, [file for file in files if file not in written])
    return written


def packed(files: list[DataFile]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"files": [msgspec.msgpack.encode(files)]})


def collected(packs: DataFrame) -> list[DataFile]:
    lists = (msgspec.msgpack.decode(row.files, type=list[DataFile]) for row in packs.collect())
    return [file for files in lists for file in files]


def _per_file(spark: SparkSession, files: list[DataFile]) -> DataFrame:
    tasks = max(1, min(len(files), spark.sparkContext.defaultParallelism))
    return spark.range(0, len(files), 1, tasks)


def _chosen(batches: Iterable[pa.RecordBatch], files: list[DataFile]) -> Iterator[DataFile]:
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield files[number]


def _row_groups(
    layout: WriteTarget, file: DataFile, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    with layout.filesystem().open_input_file(object_key(file.path)) as source:
        found = pq.ParquetFile(source)
        for number in range(found.num_row_groups):
            yield found.read_row_group(number, columns, use_threads=False)
