"""Messages -> raw and dead letters, with their verdicts."""

from datetime import UTC, datetime

import pyarrow as pa
from chispa import assert_df_equality
from pyspark.sql.pandas.types import from_arrow_schema
from shop import RAW_USER_EVENTS, USER_EVENTS

from lakehouse.contracts import HEADERS as HEADERS_TYPE
from lakehouse.kafka.records import SOURCE_COLUMNS
from lakehouse.messages.decode import decoded_schema
from lakehouse.messages.rows import dead_letter_rows, messages_of, raw_columns
from lakehouse.tables.definitions import DEAD_LETTERS

AT = datetime(2026, 3, 1, tzinfo=UTC)
HEADERS = '[{"key":"source","value":"YXBw"},{"key":"empty"}]'


def rejected(value: bytes | None) -> tuple:
    values = [None] * len(USER_EVENTS.columns)
    return (*values, 2, 7, AT, 0, b"u1", value, HEADERS, "MALFORMED_JSON", "value: broken")


def dead_letters(spark, *decoded: tuple, value_limit: int = 100):
    schema = from_arrow_schema(decoded_schema(USER_EVENTS))
    messages = messages_of(spark.createDataFrame(decoded, schema))
    return dead_letter_rows(USER_EVENTS, messages, value_limit)


def test_every_message_is_kept_byte_for_byte():
    headers = [{"key": "source", "value": b"app"}, {"key": "empty", "value": None}]
    messages = [(2, 7, AT, 0, b"u1", b"{", headers), (2, 8, AT, 1, None, None, None)]
    types = [*(column.type for column in RAW_USER_EVENTS.columns[1:-1]), HEADERS_TYPE]
    arrays = map(pa.array, zip(*messages, strict=True), types)
    records = pa.RecordBatch.from_arrays(list(arrays), names=list(SOURCE_COLUMNS))
    columns = [column.to_pylist() for column in raw_columns(USER_EVENTS, records)]
    assert list(zip(*columns, strict=True)) == [("user-events", *each) for each in messages]


def test_a_dead_letter_keeps_the_message_whole_and_says_why(spark):
    columns = ", ".join(
        f"{name} {DEAD_LETTERS.spark_type(name)}" for name in DEAD_LETTERS.column_names
    )
    expected = spark.createDataFrame(
        [
            (
                *("user-events", 2, 7, AT, b"u1", b"{", 1, None),
                [("source", b"app"), ("empty", None)],
                *("MALFORMED_JSON", "value: broken", 1, 1, None, None, None),
            )
        ],
        columns,
    )
    actual = dead_letters(spark, rejected(b"{"))
    assert_df_equality(actual, expected, ignore_nullable=True)


def test_a_value_above_the_limit_is_kept_by_length_digest_and_beginning(spark):
    # printf '7%.0s' {1..3000} | sha256sum
    digest = "80cf1aec509566545f950593ff55a84974ff4b977cb8fb12528d071ae4eb13ae"
    columns = ["value", "value_bytes", "value_sha256"]
    expected = spark.createDataFrame(
        [(b"7" * 1024, 3000, digest), (b"7" * 100, 100, None)],
        "value BINARY, value_bytes INT, value_sha256 STRING",
    )
    actual = dead_letters(spark, rejected(b"7" * 3000), rejected(b"7" * 100))
    assert_df_equality(actual.select(columns), expected, ignore_nullable=True)


def test_a_dead_letter_without_a_value_has_no_length(spark):
    (letter,) = dead_letters(spark, rejected(None)).collect()
    assert (letter.value, letter.value_bytes, letter.value_sha256) == (None, None, None)
