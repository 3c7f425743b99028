from chispa import assert_df_equality

from lakehouse.bookmarks import unseen, write_option
from lakehouse.tables import STG_USER_EVENTS


def test_a_row_below_the_frontier_of_its_partition_is_not_taken_again(spark):
    columns = "kafka_partition INT, kafka_offset BIGINT"
    rows = spark.createDataFrame([(0, 4), (0, 5), (1, 0)], columns)
    expected = spark.createDataFrame([(0, 5), (1, 0)], columns)
    assert_df_equality(unseen({0: 5}, rows, STG_USER_EVENTS), expected)


def test_a_bookmark_names_its_topic():
    assert write_option("user-events", {0: 5}) == (
        "snapshot-property.lakehouse.bookmark.user-events",
        '{"0": 5}',
    )
