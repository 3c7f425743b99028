from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from chispa import assert_df_equality
from pyspark.sql.pandas.types import from_arrow_schema
from shop import STG_USER_EVENTS, USER_EVENTS

from lakehouse.messages.duplicates import MAX_RANGES, find_repeated

DAY = datetime(2026, 3, 5, tzinfo=UTC)
REPEATED = """kafka_partition INT, kafka_offset BIGINT, kafka_timestamp TIMESTAMP, event_id STRING,
              first_partition INT, first_offset BIGINT, is_same BOOLEAN"""


def at(second: int) -> datetime:
    return DAY + timedelta(seconds=second)


def event(event_id, partition, offset, second=0, event_data="{}", day=DAY) -> dict:
    return {
        "event_id": event_id,
        "product_id": "P1",
        "event_type": "view",
        "event_timestamp": day,
        "event_data": event_data,
        "kafka_partition": partition,
        "kafka_offset": offset,
        "kafka_timestamp": at(second),
    }


@pytest.fixture(scope="module")
def repeated(spark):
    schema = from_arrow_schema(pa.schema(STG_USER_EVENTS.columns))

    def of(accepted, staged=(), horizon=0):
        rows = [
            spark.createDataFrame([{**dict.fromkeys(schema.names), **row} for row in rows], schema)
            for rows in (accepted, staged)
        ]
        return find_repeated(USER_EVENTS, *rows, timedelta(days=horizon)).orderBy("kafka_offset")

    return of


OTHER = '{"a":1}'
CASES = {
    "the earliest by Kafka's time is the first": (
        [event("by time", 0, 1, second=1), event("by time", 3, 9, second=0)],
        [],
        {(0, 1): (3, 9, True)},
    ),
    "then that of the lowest partition": (
        [event("by partition", 2, 11), event("by partition", 1, 19)],
        [],
        {(2, 11): (1, 19, True)},
    ),
    "then that of the lowest offset": (
        [event("by offset", 0, 30), event("by offset", 0, 29)],
        [],
        {(0, 30): (0, 29, True)},
    ),
    "a staged event is the first however late it came": (
        [event("staged", 0, 41)],
        [event("staged", 2, 47, second=60)],
        {(0, 41): (2, 47, True)},
    ),
    "other content is a conflict, and its copy is one too": (
        [event("conflict", 0, 52, event_data=OTHER), event("conflict", 0, 53, event_data=OTHER)],
        [event("conflict", 0, 51)],
        {(0, 52): (0, 51, False), (0, 53): (0, 51, False)},
    ),
    "null equals null and nothing else": (
        [event("guest", 0, 61), event("guest", 0, 62), event("guest", 0, 63) | {"user_id": "u"}],
        [],
        {(0, 62): (0, 61, True), (0, 63): (0, 61, False)},
    ),
    "10 and 10.00 are one number, and 10.01 is another": (
        [
            event("number", 0, 81, event_data='{"price":10,"a":[1,2]}'),
            event("number", 0, 82, event_data='{ "a":[1.0,2e0],"price":10.00}'),
            event("number", 0, 83, event_data='{"price":10.01,"a":[1,2]}'),
        ],
        [],
        {(0, 82): (0, 81, True), (0, 83): (0, 81, False)},
    ),
    "what says when it was sent may differ, wherever it stands": (
        [
            event("sent", 0, 91),
            event("sent", 0, 92, event_data='{"sent_at":1}'),
            event("sent", 0, 93) | {"extra": '{"sent_at":"2026-03-05T10:00:00Z"}'},
            event("sent", 0, 94) | {"extra": '{"sent_at":"x","sender":"y"}'},
        ],
        [],
        {(0, 92): (0, 91, True), (0, 93): (0, 91, True), (0, 94): (0, 91, False)},
    ),
    "an event that was staged before a field had its column is the same": (
        [event("later", 0, 102, event_data='{"session_id":"s"}') | {"session_id": "s"}],
        [event("later", 0, 101, event_data='{"session_id":"s"}')],
        {(0, 102): (0, 101, True)},
    ),
    "ids differ in case and in blanks": (
        [event("id", 0, 71), event("ID", 0, 72), event("id ", 0, 73)],
        [],
        {},
    ),
}


@pytest.fixture(scope="module")
def verdicts(repeated) -> dict[tuple, tuple]:
    """All cases in one batch."""
    accepted, staged = ([row for case in CASES.values() for row in case[place]] for place in (0, 1))
    return {
        (row.kafka_partition, row.kafka_offset): (
            (row.first_partition, row.first_offset, row.is_same)
        )
        for row in repeated(accepted, staged).collect()
    }


@pytest.mark.parametrize("case", CASES)
def test_in_a_batch_and_against_the_table(verdicts, case):
    accepted, _, expected = CASES[case]
    positions = [(row["kafka_partition"], row["kafka_offset"]) for row in accepted]
    assert {p: verdicts[p] for p in positions if p in verdicts} == expected


def test_a_repetition_says_which_event_it_repeats(spark, repeated):
    expected = spark.createDataFrame([(0, 2, at(1), "e", 0, 1, True)], REPEATED)
    actual = repeated([event("e", 0, 1), event("e", 0, 2, second=1)])
    assert_df_equality(actual, expected, ignore_nullable=True)


def test_the_horizon_reaches_so_many_days_around_the_events_own(repeated):
    moved = event("e", 0, 2, day=DAY + timedelta(days=2))
    staged = [event("e", 0, 1)]
    assert repeated([moved], staged, horizon=1).isEmpty()
    assert not repeated([moved], staged, horizon=2).isEmpty()


def test_events_of_more_days_than_a_condition_should_list_are_found_too(repeated):
    days = [DAY + timedelta(days=2 * number) for number in range(MAX_RANGES + 1)]
    accepted = [event(str(day), 0, 100 + number, day=day) for number, day in enumerate(days)]
    staged = [event(str(day), 0, number, day=day) for number, day in enumerate(days)]
    assert repeated(accepted, staged).count() == len(days)
