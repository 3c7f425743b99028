"""Kafka records in Arrow -> staged rows beside dead letters, one output row per record."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import KAFKA_COLUMNS, Contract, Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REJECTION_COLUMNS = [
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    # As JSON text: a nested column on its way to Python and back costs more than all the rest.
    pa.field("headers", pa.string()),
    pa.field("error_class", pa.string()),
    pa.field("error_detail", pa.string()),
]


def decoded_schema(contract: Contract) -> pa.Schema:
    """Staged columns, null where rejected; then what a dead letter needs, null where accepted."""
    return pa.schema(contract.columns + KAFKA_COLUMNS + REJECTION_COLUMNS)


def decoder(contract: Contract) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For DataFrame.mapInArrow over the columns of Spark's Kafka source, headers as JSON."""

    def decode(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield decode_batch(contract, batch)

    return decode


def decode_batch(contract: Contract, records: pa.RecordBatch) -> pa.RecordBatch:
    """Each record becomes one row, in order: staged or rejected."""
    nothing = (None,) * len(contract.columns)
    rows: list[tuple] = []
    classes: list[str | None] = []
    details: list[str | None] = []
    times = records["timestamp"].cast(pa.int64()).to_pylist()
    for value, key, time in zip(
        records["value"].to_pylist(), records["key"].to_pylist(), times, strict=True
    ):
        try:
            rows.append(contract.parse(value, key, EPOCH + timedelta(microseconds=time)))
            classes.append(None)
            details.append(None)
        except Rejected as rejected:
            rows.append(nothing)
            classes.append(rejected.error_class)
            details.append(rejected.error_detail)
    values = zip(*rows, strict=True) if rows else ((),) * len(nothing)
    staged = [
        pa.array(column, field.type) for column, field in zip(values, contract.columns, strict=True)
    ]
    error_class = pa.array(classes, pa.string())
    is_rejected = error_class.is_valid()
    payload = [
        pc.if_else(is_rejected, records[name], pa.scalar(None, records[name].type))
        for name in ("key", "value", "headers")
    ]
    kafka = [records[name] for name in ("partition", "offset", "timestamp")]
    schema = decoded_schema(contract)
    arrays = [*staged, *kafka, *payload, error_class, pa.array(details, pa.string())]
    return pa.RecordBatch.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )
