"""Messages, judged -> the columns of raw.*, staging.stg_* and ops.dead_letters, in Arrow."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from lakehouse.contracts import Contract
from lakehouse.kafka.records import SOURCE_COLUMNS
from lakehouse.messages.decode import VERDICT_COLUMNS
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES

PREFIX_BYTES = 1024
_POSITION = SOURCE_COLUMNS[:3]


def staged_columns(records: pa.RecordBatch, columns: list[pa.Array]) -> list[pa.Array]:
    """Staging columns: the parsed contract columns plus each record's Kafka coordinates."""
    return [*columns, *(records[name] for name in _POSITION)]


def raw_columns(contract: Contract, records: pa.RecordBatch) -> list[pa.Array]:
    return [_repeated(contract.topic, records), *(records[name] for name in SOURCE_COLUMNS)]


def letter_columns(
    contract: Contract, records: pa.RecordBatch, verdicts: list[pa.Array], value_limit: int
) -> list[pa.Array]:
    """Columns of ops.dead_letters; a value above the limit is cut to its beginning."""
    value = records["value"]
    is_cut = pc.greater(pc.binary_length(value), value_limit)
    digest = pa.nulls(len(records), pa.string())
    if pc.any(is_cut).as_py():
        values = zip(value.to_pylist(), is_cut.to_pylist(), strict=True)
        cut = [(whole, whole[:PREFIX_BYTES]) if cut else None for whole, cut in values]
        digest = pa.array([each and sha256(each[0]).hexdigest() for each in cut], pa.string())
        value = pc.if_else(is_cut, pa.array([each and each[1] for each in cut], pa.binary()), value)
    return [
        _repeated(contract.topic, records),
        *(records[name] for name in (*_POSITION, "key")),
        value,
        pc.binary_length(records["value"]),
        digest,
        records["headers"],
        *verdicts,
        _repeated(contract.version, records),
        _repeated(1, records),
        *(pa.nulls(len(records), column.type) for column in DEAD_LETTERS.columns[-3:]),
    ]


def _repeated(value: str | int, records: pa.RecordBatch) -> pa.Array:
    return pa.repeat(value, len(records))


def messages_of(decoded: DataFrame) -> DataFrame:
    """Rename and cast decoded rows to the columns of the tables that hold messages."""
    return decoded.withColumnsRenamed(
        {"kafka_partition": "partition", "kafka_offset": "offset"}
    ).withColumn("headers", F.from_json("headers", DEAD_LETTERS.spark_type("headers")))


def dead_letter_rows(contract: Contract, messages: DataFrame, value_limit: int) -> DataFrame:
    """Rows of ops.dead_letters from a frame with raw's columns, error_class and error_detail."""
    message = [*_POSITION[:2], "kafka_timestamp", "timestamp_type", *SOURCE_COLUMNS[4:]]
    schema = pa.schema(DEAD_LETTERS.columns)

    def letters(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            records = batch.select(range(len(message))).rename_columns(list(SOURCE_COLUMNS))
            verdicts = batch.columns[len(message) :]
            columns = letter_columns(contract, records, verdicts, value_limit)
            cast = [each.cast(field.type) for each, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(cast, schema=schema)

    verdict = [column.name for column in VERDICT_COLUMNS]
    return messages.select(*message, *verdict).mapInArrow(letters, from_arrow_schema(schema))


def duplicate_rows(contract: Contract, repeated: DataFrame) -> DataFrame:
    return (
        repeated.where("is_same")
        .withColumnsRenamed({"kafka_partition": "partition", "kafka_offset": "offset"})
        .withColumn("topic", F.lit(contract.topic))
        .select(DUPLICATES.column_names)
    )
