"""Hashes of event ids -> the staged events that have them, read from staging's files in Arrow.

A batch is compared with all events of the days around its own. An id that Spark reads and hands to
Python costs 1.5 us, and each split of a file a Python process of 0.3 s; here it costs 0.3 us.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from lakehouse.contracts import Contract
from lakehouse.iceberg.catalog import iceberg_table, java_class
from lakehouse.iceberg.storage import object_key
from lakehouse.iceberg.table import Table
from lakehouse.iceberg.write_target import FIELD_ID, WriteTarget
from lakehouse.messages.duplicates import event_keys, key_of, ranges_around, within
from lakehouse.messages.offset_sets import is_in
from lakehouse.tables.definitions import staging_table

# Keys differ in their first bits: as many as make a table of 16 MB, which rules out most keys.
_BITS = 24
ROWS = 2**14

log = logging.getLogger("lakehouse.messages")


def staged_with(
    spark: SparkSession,
    contract: Contract,
    layout: WriteTarget,
    ordered: np.ndarray,
    days: Iterable[date],
    horizon: timedelta,
) -> DataFrame:
    """The rows of staging whose id has one of these hashes, in order, with it as event_key.

    They are of days up to `horizon` from one of `days`, and perhaps of others.
    """
    table, event_id = staging_table(contract), contract.id_column
    ranges = ranges_around(days, horizon)
    paths = _files(spark, table, contract.time, ranges)
    if not paths:
        rows = spark.table(table.identifier).selectExpr(*layout.schema.names, key_of(contract))
        if paths is not None:
            # To make a DataFrame of no rows costs a second: Python workers of another kind start.
            return rows.limit(0)
        log.warning(
            "files of staging are others' or have deleted rows; ids are found more slowly until "
            "jobs/compact.py has run",
            extra={"table": table.name},
        )
        rows = rows.where(within(contract.time, ranges))
        return rows.mapInArrow(lambda batches: _filtered(batches, ordered), rows.schema)

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        filesystem, is_one = layout.filesystem(), Filter(ordered)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                with filesystem.open_input_file(object_key(paths[number])) as source:
                    yield from matching(pq.ParquetFile(source), is_one, layout.schema, event_id)

    tasks = min(len(paths), spark.sparkContext.defaultParallelism)
    schema = from_arrow_schema(with_key(layout.schema))
    return spark.range(0, len(paths), 1, tasks).mapInArrow(read, schema)


def _files(
    spark: SparkSession, table: Table, time: str, ranges: list[tuple[date, date]]
) -> list[str] | None:
    """Paths of the files that may hold events of these days; None if it takes more to read one."""
    expressions = java_class(spark._jvm, "org.apache.iceberg.expressions.Expressions")
    is_within: Any = expressions.alwaysFalse()
    for start, end in ranges:
        after, before = (f"{day.isoformat()}T00:00:00+00:00" for day in (start, end))
        is_between = getattr(expressions, "and")(
            expressions.greaterThanOrEqual(time, after),
            expressions.lessThan(time, before),
        )
        is_within = getattr(expressions, "or")(is_within, is_between)
    planned = iceberg_table(spark, table).newScan().filter(is_within).planFiles()
    paths = []
    try:
        tasks = planned.iterator()
        while tasks.hasNext():
            task = tasks.next()
            file = task.file()
            if not task.deletes().isEmpty() or file.format().name() != "PARQUET":
                return None
            paths.append(file.location())
    finally:
        planned.close()
    return paths


class Filter:
    """Find keys in a column, most of which are not there."""

    def __init__(self, ordered: np.ndarray):
        self._ordered = ordered
        self._may_be = np.zeros(2**_BITS, bool)
        # Negative numbers count from the end.
        self._may_be[ordered >> (64 - _BITS)] = True

    def found(self, keys: np.ndarray) -> np.ndarray:
        """Indices of the keys that are among the ordered ones, ascending."""
        likely = np.flatnonzero(self._may_be[keys >> (64 - _BITS)])
        found: np.ndarray = likely[is_in(keys[likely], self._ordered)]
        return found


def _filtered(batches: Iterable[pa.RecordBatch], ordered: np.ndarray) -> Iterator[pa.RecordBatch]:
    is_one = Filter(ordered)
    for batch in batches:
        yield batch.take(pa.array(is_one.found(batch["event_key"].to_numpy())))


def with_key(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field("event_key", pa.int64()))


def matching(
    file: pq.ParquetFile, is_one: Filter, schema: pa.Schema, event_id: str
) -> Iterator[pa.RecordBatch]:
    """Read the ids of each row group, and its other columns only if one of them matches.

    Columns are known by Iceberg's ids: a file that was written under another name of one keeps it.
    """
    names = {field.metadata[FIELD_ID]: field.name for field in file.schema_arrow if field.metadata}
    columns = [names.get(field.metadata[FIELD_ID]) for field in schema]
    ids = columns[schema.get_field_index(event_id)]
    for number in range(file.num_row_groups):
        keys = np.concatenate([event_keys(rows[0]) for rows in _batches(file, number, [ids])])
        found = is_one.found(keys)
        if not len(found):
            continue
        start = 0
        for rows in _batches(file, number, [name for name in columns if name]):
            chosen = found[(found >= start) & (found < start + len(rows))]
            taken = rows.take(pa.array(chosen - start))
            arrays = [
                taken[name].cast(field.type) if name else pa.nulls(len(taken), field.type)
                for name, field in zip(columns, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(
                [*arrays, pa.array(keys[chosen])], schema=with_key(schema)
            )
            start += len(rows)


def _batches(
    file: pq.ParquetFile, number: int, columns: list[str | None]
) -> Iterator[pa.RecordBatch]:
    """Read a row group in parts: compaction writes row groups of 128 MB."""
    yield from file.iter_batches(ROWS, row_groups=[number], columns=columns, use_threads=False)
