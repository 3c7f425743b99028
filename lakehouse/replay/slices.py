"""raw.* -> the messages that were asked for, in slices of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import groupby

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages.offset_conditions import is_any_of


@dataclass(frozen=True)
class Asked:
    """A filter for messages: all given criteria must match; none selects every message."""

    # Of the Kafka timestamp, the last one included.
    days: tuple[date, date] | None = None
    offsets: tuple[OffsetRange, ...] = ()

    @property
    def condition(self) -> Column:
        is_asked: Column = F.lit(True)
        if self.days:
            is_asked &= _is_on(*self.days)
        if self.offsets:
            is_asked &= is_any_of(self.offsets)
        return is_asked


@dataclass(frozen=True)
class Slice:
    """Messages of some days, or of a part of a day: what one step of a replay compares."""

    first_day: date
    last_day: date
    # One entry per partition.
    offsets: tuple[OffsetRange, ...]
    messages: int

    def of(self, messages: DataFrame) -> DataFrame:
        is_on_day = _is_on(self.first_day, self.last_day)
        return messages.where(is_on_day).where(is_any_of(self.offsets))

    def is_at(self, partition: str, offset: str) -> Column:
        """For rows that have no day of Kafka."""
        return is_any_of(self.offsets, partition, offset)


def slices(messages: DataFrame, limit: int) -> Iterator[Slice]:
    """Cut messages by time: days that come to `limit` together, a larger day in equal parts.

    A part is a range of offsets per partition, so it holds about `limit`, and less where offsets
    are sparse. Days and offsets are what Iceberg prunes files by.
    """
    counted = (
        messages.groupBy(F.to_date("kafka_timestamp").alias("day"), "partition")
        .agg(
            F.count("*").alias("messages"),
            F.min("offset").alias("first"),
            F.max("offset").alias("last"),
        )
        .orderBy("day", "partition")
        .collect()
    )
    group: list[Row] = []
    for _, day in groupby(counted, lambda row: row.day):
        rows = list(day)
        if group and sum(row.messages for row in group + rows) > limit:
            yield from _parts(group, limit)
            group = []
        group += rows
    if group:
        yield from _parts(group, limit)


def _parts(group: list[Row], limit: int) -> Iterator[Slice]:
    """The days of a group as one slice, or one that is too large as several."""
    spans: dict[int, range] = {}
    for row in group:
        span = spans.get(row.partition, range(row.first, row.first))
        spans[row.partition] = range(min(span.start, row.first), max(span.stop, row.last + 1))
    messages = sum(row.messages for row in group)
    count = -(-messages // limit)
    for number in range(count):
        parts = {
            partition: span[number * len(span) // count : (number + 1) * len(span) // count]
            for partition, span in spans.items()
        }
        offsets = tuple(OffsetRange(p, part.start, part.stop) for p, part in parts.items() if part)
        if offsets:
            yield Slice(group[0].day, group[-1].day, offsets, messages // count)


def _is_on(first: date, last: date) -> Column:
    start = datetime.combine(first, time.min, UTC)
    return F.col("kafka_timestamp").between(start, datetime.combine(last, time.max, UTC))
