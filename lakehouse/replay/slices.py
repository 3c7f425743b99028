"""raw.* -> the messages that were asked for, in slices of bounded size."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import groupby, zip_longest

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F  # noqa: N812

MOST_PRUNED_BY = 16


@dataclass(frozen=True)
class Offsets:
    """Of one partition; the last is one of them."""

    partition: int
    first: int
    last: int


@dataclass(frozen=True)
class Asked:
    """Which messages: those for which all that is given holds, so all if nothing is."""

    # Of the Kafka timestamp, the last one included.
    days: tuple[date, date] | None = None
    offsets: tuple[Offsets, ...] = ()

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
    """All messages of some days, or a part of a day's."""

    first_day: date
    last_day: date
    # One entry per partition.
    offsets: tuple[Offsets, ...]
    messages: int

    def of(self, messages: DataFrame) -> DataFrame:
        is_on_day = _is_on(self.first_day, self.last_day)
        return messages.where(is_on_day).where(is_any_of(self.offsets))

    def is_at(self, partition: str, offset: str) -> Column:
        """For rows that have no day of Kafka."""
        return is_any_of(self.offsets, partition, offset)


def slices(messages: DataFrame, limit: int) -> Iterator[Slice]:
    """In the order of time: as many days as come to `limit`, and of a larger day equal parts.

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
        offsets = tuple(Offsets(p, part[0], part[-1]) for p, part in parts.items() if part)
        if offsets:
            yield Slice(group[0].day, group[-1].day, offsets, messages // count)


def _is_on(first: date, last: date) -> Column:
    start = datetime.combine(first, time.min, UTC)
    return F.col("kafka_timestamp").between(start, datetime.combine(last, time.max, UTC))


def is_any_of(
    offsets: Iterable[Offsets], partition: str = "partition", offset: str = "offset"
) -> Column:
    """Whether a row is at one of the offsets; never null.

    An OR of each range is too deep for Spark from a few hundred ranges on, so ranges are looked up
    in a map by partition. Iceberg prunes files by the other, coarser condition.
    """
    ranges = sorted(offsets, key=lambda each: (each.first, each.last))
    if not ranges:
        return F.lit(False)
    known: dict[int, list[Offsets]] = defaultdict(list)
    for each in ranges:
        known[each.partition].append(each)
    # The first range of each partition, the second of each, and so on: as a rule there is one.
    layers = zip_longest(*known.values())
    is_within = any_of([_is_in_own(filter(None, each), partition, offset) for each in layers])
    return _is_near(ranges, partition, offset) & F.coalesce(is_within, F.lit(False))


def _is_near(ranges: Sequence[Offsets], partition: str, offset: str) -> Column:
    """For ranges in order: as few conditions as Iceberg can check for each file."""
    size = -(-len(ranges) // MOST_PRUNED_BY)
    return any_of(
        [
            F.col(partition).isin({each.partition for each in group})
            & F.col(offset).between(group[0].first, max(each.last for each in group))
            for group in (ranges[start : start + size] for start in range(0, len(ranges), size))
        ]
    )


def is_at_or_past(ends: Mapping[int, int], partition: str, offset: str) -> Column:
    """Whether a row is not before the end of its partition: true without an end, never null."""
    if not ends:
        return F.lit(True)
    return F.coalesce(F.col(offset) >= _of_own(ends, partition), F.lit(True))


def _of_own(values: Mapping[int, int], partition: str) -> Column:
    """The value of a row's partition, null if it has none."""
    entries = ", ".join(f"{number}, {value}L" for number, value in values.items())
    return F.expr(f"map({entries})[`{partition}`]")


def any_of(conditions: Sequence[Column]) -> Column:
    """Their disjunction, as deep as the logarithm of their number."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return any_of(conditions[:middle]) | any_of(conditions[middle:])


def _is_in_own(offsets: Iterable[Offsets], partition: str, offset: str) -> Column:
    """At most one range per partition."""
    ranges = {each.partition: each for each in offsets}
    first = _of_own({p: each.first for p, each in ranges.items()}, partition)
    last = _of_own({p: each.last for p, each in ranges.items()}, partition)
    return F.col(offset).between(first, last)
