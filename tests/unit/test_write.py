from datetime import UTC, datetime

from chispa import assert_df_equality
from pyspark.sql.pandas.types import from_arrow_schema

from lakehouse.contracts import USER_EVENTS
from lakehouse.decode import decoded_schema
from lakehouse.tables import DEAD_LETTERS
from lakehouse.write import _dead_letters


def test_a_dead_letter_keeps_the_message_whole_and_says_why(spark):
    at = datetime(2026, 3, 1, tzinfo=UTC)
    headers = '[{"key":"source","value":"YXBw"},{"key":"empty"}]'
    rejected = (*[None] * 9, 2, 7, at, b"u1", b"{", headers, "MALFORMED_JSON", "value: broken")
    staged = ("e1", *[None] * 8, 2, 8, at, None, None, None, None, None)
    decoded = spark.createDataFrame(
        [rejected, staged], from_arrow_schema(decoded_schema(USER_EVENTS))
    )
    columns = ", ".join(
        f"{name} {DEAD_LETTERS.spark_type(name)}" for name in DEAD_LETTERS.column_names
    )
    expected = spark.createDataFrame(
        [
            (
                *("user-events", 2, 7, at, b"u1", b"{"),
                [("source", b"app"), ("empty", None)],
                *("MALFORMED_JSON", "value: broken", 1),
            )
        ],
        columns,
    )
    assert_df_equality(_dead_letters(USER_EVENTS, decoded), expected, ignore_nullable=True)
