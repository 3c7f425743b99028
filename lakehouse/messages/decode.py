"""Kafka records in Arrow -> staged rows and dead letters, one output row per record."""

import gc
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from zipimport import zipimporter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from lakehouse.contracts import KAFKA_COLUMNS, Contract, Rejected
from lakehouse.contracts.rejection import HEADERS_UNREADABLE, UNEXPECTED
from lakehouse.kafka.records import SOURCE_COLUMNS

log = logging.getLogger("lakehouse.messages")

# UNREADABLE_HEADERS, as Spark writes them in JSON.
_UNREADABLE_JSON = "[{}]"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def decoded_schema(contract: Contract) -> pa.Schema:
    """Staged columns, null where rejected; the message; the verdict, null where accepted."""
    return pa.schema(contract.columns + KAFKA_COLUMNS + MESSAGE_COLUMNS + VERDICT_COLUMNS)


def decode(records: DataFrame, contract: Contract) -> DataFrame:
    """Columns of Spark's Kafka source -> decoded_schema, one row per record."""
    records = records.withColumn("headers", F.to_json("headers")).select(*SOURCE_COLUMNS)
    return records.mapInArrow(decoder(contract), from_arrow_schema(decoded_schema(contract)))


def decoder(contract: Contract) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def decode_all(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        spare_worker()
        for batch in batches:
            yield from decode_batch(contract, batch)

    return decode_all


@cache
def spare_worker() -> None:
    """Take 0.15 CPU-seconds from each task that Spark gives to this Python process after this one.

    Between two tasks PySpark reads the directory of each jar and zip on sys.path again
    (`worker_util.setup_spark_files`), and collects garbage among all that its imports made
    (`daemon.manager`). That is often enough: within a task the many objects of a batch would have
    it look for cycles, of which we make none.

    Another process than a task's is left alone: PySpark's handles of a driver are in cycles.
    """
    if TaskContext.get() is None:
        return
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
    gc.freeze()
    gc.disable()


class Part(NamedTuple):
    """Records of a batch with the same fate: staged or rejected."""

    # Which records, in ascending order.
    indices: Sequence[int] | np.ndarray
    # Those of the contract; None where rejected.
    columns: list[pa.Array] | None
    # error_class and error_detail; None where staged.
    verdicts: list[pa.Array] | None


def judge(contract: Contract, records: pa.RecordBatch) -> Iterator[Part]:
    """Each record is in one part: the certain ones first, all at once.

    Whatever a message raises is its own verdict, and leaves the others alone.
    """
    if len(unreadable := _without_names(records["headers"])):
        yield _rejected(dict.fromkeys(unreadable.tolist(), Rejected(HEADERS_UNREADABLE, "headers")))
        others = np.delete(np.arange(len(records)), unreadable)
        yield from _judge_one_by_one(contract, records, others)
        return
    certain, columns = _accepted(contract, records)
    if len(certain):
        yield Part(certain, columns, None)
    if len(certain) < len(records):
        others = np.delete(np.arange(len(records)), certain)
        yield from _judge_one_by_one(contract, records, others)


def _without_names(headers: pa.Array) -> np.ndarray:
    """Return the indices of records with UNREADABLE_HEADERS."""
    if pa.types.is_string(headers.type):
        return np.flatnonzero(pc.equal(headers, _UNREADABLE_JSON).fill_null(False))
    names = pc.struct_field(headers.flatten(), "key")
    if not names.null_count:
        return np.array([], np.int64)
    parents = pc.list_parent_indices(headers)
    return np.unique(parents.filter(names.is_null()).to_numpy())


def _accepted(
    contract: Contract, records: pa.RecordBatch
) -> tuple[np.ndarray | list[int], list[pa.Array]]:
    if contract.accept:
        try:
            return contract.accept(records)
        except MemoryError:
            raise
        except Exception as error:
            # Its text may hold a part of a message.
            log.warning(f"a batch is judged message by message: {type(error).__name__}")
    return [], []


def _judge_one_by_one(
    contract: Contract, records: pa.RecordBatch, indices: np.ndarray
) -> Iterator[Part]:
    rows: dict[int, tuple[Any, ...]] = {}
    rejections: dict[int, Rejected] = {}
    chosen = take(records, indices)
    values, keys = chosen["value"].to_pylist(), chosen["key"].to_pylist()
    times = chosen["timestamp"].cast(pa.int64()).to_pylist()
    for index, value, key, time in zip(indices.tolist(), values, keys, times, strict=True):
        try:
            rows[index] = contract.parse(value, key, _EPOCH + timedelta(microseconds=time))
        except Rejected as rejected:
            rejections[index] = rejected
        except MemoryError:
            raise
        except Exception as error:
            rejections[index] = _unexpected("parse", error)
    if rows:
        try:
            columns = _columns(contract, list(rows.values()))
        except MemoryError:
            raise
        except Exception:
            rejections |= _inconvertible(contract, rows)
            rows = {index: row for index, row in rows.items() if index not in rejections}
            columns = _columns(contract, list(rows.values()))
        if rows:
            yield Part(list(rows), columns, None)
    if rejections:
        yield _rejected(dict(sorted(rejections.items())))


def _columns(contract: Contract, rows: list[tuple[Any, ...]]) -> list[pa.Array]:
    values = zip(*rows, strict=True) if rows else [()] * len(contract.columns)
    return [
        pa.array(each, field.type) for each, field in zip(values, contract.columns, strict=True)
    ]


def _inconvertible(contract: Contract, rows: dict[int, tuple[Any, ...]]) -> dict[int, Rejected]:
    """The rows that Arrow does not take, each tried alone."""
    found: dict[int, Rejected] = {}
    for index, row in rows.items():
        try:
            _columns(contract, [row])
        except Exception as error:
            found[index] = _unexpected("convert", error)
    return found


def _unexpected(step: str, error: Exception) -> Rejected:
    """Names no more of the error than its type: its text may hold payload."""
    return Rejected(UNEXPECTED, f"{step} ({type(error).__name__})")


def _rejected(rejections: dict[int, Rejected]) -> Part:
    reasons = rejections.values()
    verdicts = [
        pa.array([reason.error_class for reason in reasons], pa.string()),
        pa.array([reason.error_detail for reason in reasons], pa.string()),
    ]
    return Part(list(rejections), None, verdicts)


def decode_batch(contract: Contract, records: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """One output row per record, staged or rejected."""
    schema = decoded_schema(contract)
    for indices, columns, verdicts in judge(contract, records):
        count = len(indices)
        chosen = take(records, indices)
        arrays = [
            *(columns or [pa.nulls(count, field.type) for field in contract.columns]),
            *(chosen[name] for name in SOURCE_COLUMNS),
            *(verdicts or [pa.nulls(count, field.type) for field in VERDICT_COLUMNS]),
        ]
        cast = (array.cast(field.type) for array, field in zip(arrays, schema, strict=True))
        yield pa.RecordBatch.from_arrays(list(cast), schema=schema)


def take(records: pa.RecordBatch, indices: Sequence[int] | np.ndarray) -> pa.RecordBatch:
    return records if len(indices) == len(records) else records.take(pa.array(indices, pa.int64()))
