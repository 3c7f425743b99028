"""Offset ranges -> conditions on columns, which stay shallow however many ranges there are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.kafka.offsets import OffsetRange

MOST_PRUNED_BY = 16


def is_any_of(
    offsets: Iterable[OffsetRange], partition: str = "partition", offset: str = "offset"
) -> Column:
    """Whether a row is at one of the offsets; never null.

    An OR of each range is too deep for Spark from a few hundred ranges on, so ranges are looked up
    in a map by partition. Iceberg prunes files by the other, coarser condition.
    """
    ranges = sorted(offsets, key=lambda each: (each.start, each.end))
    if not ranges:
        return F.lit(False)
    known: dict[int, list[OffsetRange]] = defaultdict(list)
    for each in ranges:
        known[each.partition].append(each)
    # The first range of each partition, the second of each, and so on: as a rule there is one.
    layers = zip_longest(*known.values())
    is_within = any_of([_is_in_own(filter(None, each), partition, offset) for each in layers])
    return _is_near(ranges, partition, offset) & F.coalesce(is_within, F.lit(False))


def _is_near(ranges: Sequence[OffsetRange], partition: str, offset: str) -> Column:
    """Few conditions around sorted ranges, which Iceberg can check for each file."""
    size = -(-len(ranges) // MOST_PRUNED_BY)
    return any_of(
        [
            F.col(partition).isin({each.partition for each in group})
            & F.col(offset).between(group[0].start, max(each.end for each in group) - 1)
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
    """Join conditions by OR, as a tree as deep as the logarithm of their number."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return any_of(conditions[:middle]) | any_of(conditions[middle:])


def _is_in_own(offsets: Iterable[OffsetRange], partition: str, offset: str) -> Column:
    """Whether a row is in its partition's range; `offsets` has at most one per partition."""
    ranges = {each.partition: each for each in offsets}
    start = _of_own({p: each.start for p, each in ranges.items()}, partition)
    end = _of_own({p: each.end for p, each in ranges.items()}, partition)
    return (F.col(offset) >= start) & (F.col(offset) < end)
