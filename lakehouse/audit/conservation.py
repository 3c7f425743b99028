"""(partition, offset, place) of one topic -> what each partition holds, and what is wrong with it.

Offsets are compared as sets: Kafka leaves some out where it compacts and at transactions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.kafka.offsets import Frontier
from lakehouse.messages.offset_chunks import in_chunks, patterns_of
from lakehouse.tables.accepted import Gap

KAFKA, LEDGER, RAW, STAGED, DUPLICATE = "kafka", "ledger", "raw", "staged", "duplicate"
# Of a dead letter: open or discarded; or settled, so that its row must be elsewhere.
DEAD, REPLAYED, REPEATED = "dead", "replayed", "repeated"
LETTERS = (DEAD, REPLAYED, REPEATED)
PLACES = (KAFKA, LEDGER, RAW, STAGED, *LETTERS, DUPLICATE)


@dataclass(frozen=True)
class Bounds:
    """The offsets at which the judgement of a row changes."""

    # Place -> frontier of its table, for each place that is a table's.
    frontiers: dict[str, Frontier]
    gaps: list[Gap] = field(default_factory=list)

    def end(self, place: str, partition: int) -> int:
        return self.frontiers.get(place, {}).get(partition, 0)

    def is_accepted(self, partition: int, offset: int) -> bool:
        return any(g.partition == partition and g.start <= offset < g.end for g in self.gaps)

    def edges(self) -> dict[int, set[int]]:
        edges: dict[int, set[int]] = {}
        for frontier in self.frontiers.values():
            for partition, end in frontier.items():
                edges.setdefault(partition, {0}).add(end)
        for gap in self.gaps:
            edges.setdefault(gap.partition, {0}).update((gap.start, gap.end))
        return edges


def patterns(places: DataFrame, bounds: Bounds) -> DataFrame:
    """Reduce rows (partition, offset, place) to their patterns."""
    return patterns_in(in_chunks(places), bounds)


def patterns_in(chunks: DataFrame, bounds: Bounds) -> DataFrame:
    """One row per way in which offsets between two bounds lie in places: how many, first, last.

    Counts of a place stop at 2, so that there are few such ways however much is wrong.
    """
    counts = ", ".join(f"{place} long" for place in PLACES)
    return (
        chunks.groupBy("partition", "chunk")
        .applyInArrow(
            patterns_of(PLACES, bounds.edges()),
            f"partition int, zone int, {counts}, offsets long, first long, last long",
        )
        .groupBy("partition", "zone", *PLACES)
        .agg(
            F.sum("offsets").alias("offsets"),
            F.min("first").alias("first"),
            F.max("last").alias("last"),
        )
    )


@dataclass(frozen=True)
class Pattern:
    """Offsets of a partition that lie in the same places, on the same side of each bound."""

    partition: int
    first: int
    last: int
    offsets: int
    counts: dict[str, int]

    def has(self, *places: str) -> bool:
        return any(self.counts.get(place) for place in places)


class Problem(NamedTuple):
    """A rule that offsets break, and the table that it is about."""

    rule: str
    place: str = RAW


def problems(pattern: Pattern, bounds: Bounds) -> Iterator[Problem]:
    """Name each rule that the offsets of a pattern break."""
    partition, offset = pattern.partition, pattern.first
    if partition < 0 or offset < 0:
        yield from (Problem("no coordinates", place) for place in PLACES if pattern.has(place))
        return
    for place in (RAW, STAGED, DUPLICATE):
        if pattern.counts.get(place, 0) > 1:
            yield Problem("twice", place)
    if sum(pattern.counts.get(place, 0) for place in LETTERS) > 1:
        yield Problem("twice", DEAD)
    yield from _beyond_bookmarks(pattern, bounds)
    raw_end, staged_end = bounds.end(RAW, partition), bounds.end(STAGED, partition)
    if offset < raw_end and not pattern.has(RAW) and not bounds.is_accepted(partition, offset):
        if pattern.has(KAFKA, STAGED, *LETTERS, DUPLICATE):
            yield Problem("not in raw")
        if pattern.has(LEDGER):
            yield Problem("acknowledged")
    if pattern.has(RAW) and offset < min(raw_end, staged_end):
        yield from _unsettled(pattern)
    if sum(pattern.has(place) for place in (STAGED, DEAD, DUPLICATE)) > 1:
        yield Problem("in two places", STAGED)


def _beyond_bookmarks(pattern: Pattern, bounds: Bounds) -> Iterator[Problem]:
    partition, offset = pattern.partition, pattern.first
    for place, letters in ((RAW, ()), (STAGED, ()), (DEAD, LETTERS), (DUPLICATE, ())):
        if pattern.has(place, *letters) and offset >= bounds.end(place, partition):
            yield Problem("beyond the bookmark", place)
    ahead = max(bounds.end(RAW, partition), bounds.end(STAGED, partition))
    for place, letters in ((DEAD, LETTERS), (DUPLICATE, ())):
        if pattern.has(place, *letters) and offset >= ahead:
            yield Problem("ahead of raw", place)


def _unsettled(pattern: Pattern) -> Iterator[Problem]:
    unkept = [
        place
        for letter, place in ((REPLAYED, STAGED), (REPEATED, DUPLICATE))
        if pattern.has(letter) and not pattern.has(place)
    ]
    yield from (Problem("settled, but not there", place) for place in unkept)
    if not unkept and not pattern.has(STAGED, DEAD, DUPLICATE):
        yield Problem("unaccounted", STAGED)


@dataclass
class PartitionCount:
    """Counts of one partition's offsets from `start` to before `frontier`, by place.

    Accepted gaps are counted whole, wherever they lie.
    """

    topic: str
    partition: int
    start: int
    delivered: int = 0
    raw: int = 0
    staged: int = 0
    dead: int = 0
    duplicate: int = 0
    accepted_gap: int = 0
    frontier: int = 0

    def add(self, pattern: Pattern) -> None:
        if pattern.first < self.frontier:
            self.delivered += pattern.offsets * pattern.has(KAFKA)
            self.raw += pattern.offsets * pattern.has(RAW)
            self.staged += pattern.offsets * pattern.has(STAGED)
            self.dead += pattern.offsets * pattern.has(DEAD)
            self.duplicate += pattern.offsets * pattern.has(DUPLICATE)

    def row(self) -> list[Any]:
        return list(asdict(self).values())


def covered(gaps: Iterable[Gap]) -> int:
    """How many offsets of a partition they are together; where they overlap, once."""
    count = reached = 0
    for gap in sorted(gaps, key=lambda gap: gap.start):
        count += max(0, gap.end - max(gap.start, reached))
        reached = max(reached, gap.end)
    return count
