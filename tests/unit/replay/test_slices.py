from datetime import UTC, date, datetime

import pytest

from lakehouse.kafka.offsets import OffsetRange
from lakehouse.replay.slices import Asked, slices

FIRST, SECOND, THIRD = (date(2026, 3, day) for day in (1, 2, 3))


@pytest.fixture(scope="module")
def messages(spark):
    """One on the first day, two on the second, eight on the third."""
    at = [(1, 0, 5), (2, 0, 6), (2, 1, 0)]
    at += [(3, 0, offset) for offset in range(7, 13)] + [(3, 1, 1), (3, 1, 2)]
    rows = [(datetime(2026, 3, day, 23, 59, 59, 999_999, UTC), *where) for day, *where in at]
    return spark.createDataFrame(rows, "kafka_timestamp TIMESTAMP, partition INT, offset BIGINT")


def test_small_days_are_taken_together_and_a_large_one_in_parts(messages):
    found = list(slices(messages, limit=4))
    assert [(each.first_day, each.last_day) for each in found] == [
        (FIRST, SECOND),
        (THIRD, THIRD),
        (THIRD, THIRD),
    ]
    assert [each.offsets for each in found] == [
        (OffsetRange(0, 5, 7), OffsetRange(1, 0, 1)),
        (OffsetRange(0, 7, 10), OffsetRange(1, 1, 2)),
        (OffsetRange(0, 10, 13), OffsetRange(1, 2, 3)),
    ]
    assert [each.of(messages).count() for each in found] == [3, 4, 4]


def test_days_and_offsets_that_are_asked_for_include_their_last(messages):
    def count(asked: Asked) -> int:
        return messages.where(asked.condition).count()

    assert count(Asked()) == 11
    assert count(Asked(days=(FIRST, SECOND))) == 3
    assert count(Asked(offsets=(OffsetRange(0, 5, 8), OffsetRange(1, 2, 3)))) == 4
    assert count(Asked((SECOND, THIRD), (OffsetRange(0, 5, 8),))) == 2
