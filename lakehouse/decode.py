"""Kafka records in Arrow -> staged rows and dead letters, one output row per record."""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zipimport import zipimporter

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from lakehouse.contracts import KAFKA_COLUMNS, Contract, Rejected

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds of the years 1 to 9999: Python knows no others, and Trino fails on a whole file that
# holds a later one (trinodb/trino#25837).
_READABLE = pa.array([datetime.min, datetime.max], pa.timestamp("us")).cast(pa.int64()).to_pylist()
MESSAGE_COLUMNS = [
    pa.field("timestamp_type", pa.int32()),
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    # As JSON text: a nested column on its way to Python and back costs more than all the rest.
    pa.field("headers", pa.string()),
]
VERDICT_COLUMNS = [
    pa.field("error_class", pa.string()),
    pa.field("error_detail", pa.string()),
]
# What Spark's Kafka source calls KAFKA_COLUMNS and MESSAGE_COLUMNS.
SOURCE_COLUMNS = ("partition", "offset", "timestamp", "timestampType", "key", "value", "headers")


def decoded_schema(contract: Contract) -> pa.Schema:
    """Staged columns, null where rejected; the message; the verdict, null where accepted."""
    return pa.schema(contract.columns + KAFKA_COLUMNS + MESSAGE_COLUMNS + VERDICT_COLUMNS)


def decode(records: DataFrame, contract: Contract) -> DataFrame:
    """Columns of Spark's Kafka source -> decoded_schema, one row per record."""
    records = records.withColumn("headers", F.to_json("headers")).select(*SOURCE_COLUMNS)
    return records.mapInArrow(decoder(contract), from_arrow_schema(decoded_schema(contract)))


def decoder(contract: Contract) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def decode_all(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        _spare_worker()
        for batch in batches:
            yield from decode_batch(contract, batch)

    return decode_all


@cache
def _spare_worker() -> None:
    """Take 0.15 CPU-seconds from each task that Spark gives to this Python process after this one.

    Between two tasks PySpark reads the directory of each jar and zip on sys.path again
    (`worker_util.setup_spark_files`), and collects garbage among all that its imports made
    (`daemon.manager`).
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
    gc.freeze()


def decode_batch(contract: Contract, records: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """One output row per record, staged or rejected: the certain ones first, all at once."""
    records = _with_readable_times(records)
    if contract.accept:
        indices, columns = contract.accept(records)
        if len(indices):
            yield _staged(contract, _take(records, indices), columns)
        records = _take(records, np.delete(np.arange(len(records)), indices))
    if len(records):
        yield from _decode_one_by_one(contract, records)


def _with_readable_times(records: pa.RecordBatch) -> pa.RecordBatch:
    """Bring Kafka timestamps into the years that Python, Spark and Trino can all read."""
    at = records.schema.get_field_index("timestamp")
    type_ = records.schema.field(at).type
    times = np.clip(records["timestamp"].cast(pa.int64()).to_numpy(), *_READABLE)
    return records.set_column(at, "timestamp", pa.array(times).cast(type_))


def _take(records: pa.RecordBatch, indices: Sequence[int] | np.ndarray) -> pa.RecordBatch:
    return records if len(indices) == len(records) else records.take(pa.array(indices, pa.int64()))


def _decode_one_by_one(contract: Contract, records: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    rows: dict[int, tuple] = {}
    rejections: dict[int, tuple[str, str]] = {}
    values, keys = records["value"].to_pylist(), records["key"].to_pylist()
    times = records["timestamp"].cast(pa.int64()).to_pylist()
    for index, (value, key, time) in enumerate(zip(values, keys, times, strict=True)):
        try:
            rows[index] = contract.parse(value, key, _EPOCH + timedelta(microseconds=time))
        except Rejected as rejected:
            rejections[index] = rejected.error_class, rejected.error_detail
    if rows:
        columns = [
            pa.array(values, field.type)
            for values, field in zip(
                zip(*rows.values(), strict=True), contract.columns, strict=True
            )
        ]
        yield _staged(contract, _take(records, list(rows)), columns)
    if rejections:
        yield _rejected(contract, _take(records, list(rejections)), rejections.values())


def _staged(contract: Contract, records: pa.RecordBatch, columns: list[pa.Array]) -> pa.RecordBatch:
    verdicts = [pa.nulls(len(records), field.type) for field in VERDICT_COLUMNS]
    return _batch(contract, columns, records, verdicts)


def _rejected(
    contract: Contract, records: pa.RecordBatch, rejections: Iterable[tuple[str, str]]
) -> pa.RecordBatch:
    nothing = [pa.nulls(len(records), field.type) for field in contract.columns]
    verdicts = [pa.array(texts) for texts in zip(*rejections, strict=True)]
    return _batch(contract, nothing, records, verdicts)


def _batch(
    contract: Contract,
    columns: list[pa.Array],
    records: pa.RecordBatch,
    verdicts: list[pa.Array],
) -> pa.RecordBatch:
    schema = decoded_schema(contract)
    message = [records[name] for name in SOURCE_COLUMNS]
    arrays = [*columns, *message, *verdicts]
    return pa.RecordBatch.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )
