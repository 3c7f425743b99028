from chispa import assert_df_equality
from shop import STG_USER_EVENTS

from lakehouse.audit.observed_offsets import letter_places, table_places

PLACES = "partition INT, offset BIGINT, place STRING"


def test_a_letter_is_dead_unless_it_was_settled_elsewhere(spark):
    letters = spark.createDataFrame(
        [(0, 1, None), (0, 2, "discarded"), (0, 3, "replayed"), (0, 4, "duplicate")],
        "partition INT, offset BIGINT, outcome STRING",
    )
    expected = spark.createDataFrame(
        [(0, 1, "dead"), (0, 2, "dead"), (0, 3, "replayed"), (0, 4, "repeated")], PLACES
    )
    assert_df_equality(letter_places(letters), expected, ignore_nullable=True)


def test_a_row_without_coordinates_is_kept_at_minus_one(spark):
    rows = spark.createDataFrame([(0, 7), (None, None)], "kafka_partition INT, kafka_offset BIGINT")
    expected = spark.createDataFrame([(0, 7, "staged"), (-1, -1, "staged")], PLACES)
    found = table_places(rows, STG_USER_EVENTS, "staged")
    assert_df_equality(found, expected, ignore_nullable=True)
