"""Kafka, raw.*, staging.stg_*, ops.* -> proof that each message is there exactly once

By default it compares what came after the last audit that held (ops.audits), and all offsets of a
topic whose tables others than our jobs have changed since then, by Iceberg's history. It refuses
while an ingest runs, as what one has appended to raw, but not yet to the other tables, would be a
finding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.audit.conservation import (
    DEAD,
    DUPLICATE,
    LEDGER,
    PLACES,
    RAW,
    STAGED,
    Bounds,
    PartitionCount,
    Pattern,
    Problem,
    covered,
    patterns_in,
    problems,
)
from lakehouse.audit.findings import (
    OTHER_CONTENT,
    Finding,
    another_topic,
    findings_of,
    frontier_findings,
)
from lakehouse.audit.foreign_changes import changes_by_others
from lakehouse.audit.observed_offsets import (
    PROVEN,
    Pinned,
    Proof,
    kafka_chunks,
    letter_places,
    other_content,
    past,
    pin,
    proofs,
    read_ledger,
    record_proof,
    table_places,
)
from lakehouse.audit.stored_files import damaged_files
from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.iceberg.table import Table
from lakehouse.kafka.generations import generation_of
from lakehouse.kafka.topics import read_topics
from lakehouse.locks.writer_lock import writer_locks
from lakehouse.messages.offset_chunks import in_chunks
from lakehouse.settings import Settings
from lakehouse.tables.accepted import (
    AcceptedTopic,
    Gap,
    accepted_gaps,
    accepted_topics,
    as_recorded,
)
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, TABLES, raw_table, staging_table


@dataclass(frozen=True)
class Audit:
    """Result of an audit: the counts that it compared, and its findings."""

    is_full: bool
    partitions: list[PartitionCount]
    gaps: dict[str, list[Gap]]
    accepted_topics: dict[str, list[AcceptedTopic]]
    findings: list[Finding]
    # Offsets of the ledger, by topic: all, and those that no ingest has reached yet.
    acknowledged: int = 0
    not_yet_taken_in: int = 0
    # What others than our jobs changed since the last audit that held, by topic, in words.
    changes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.findings:
            return f"NOT conserved: {len(self.findings)} findings"
        return f"conserved: {self.messages:,} messages, each exactly once"

    @property
    def messages(self) -> int:
        return sum(partition.raw for partition in self.partitions)


def audit(
    spark: SparkSession, settings: Settings, is_full: bool = False, ledger: Path | None = None
) -> Audit:
    """Compare the offsets of Kafka, raw, staging, dead letters and duplicates with each other.

    Where all holds, ops.audits notes how far, and the next audit begins there unless it is to be
    full, or others than our jobs have changed a table since. `ledger` is a file of JSON lines
    {topic, partition, offset, sha256} of what a producer had acknowledged; it makes the audit full.

    Returns the counts and the findings; nothing is repaired. Raises LakehouseError while an ingest
    runs, and where Kafka or the store can't be read.
    """
    create_missing(spark)
    is_full = is_full or ledger is not None
    damaged = [finding for table in TABLES for finding in _damaged(spark, table)]
    # A table whose files are missing can't be read.
    topics = [] if damaged else _looked_at(spark, settings, proofs(spark), is_full)
    for topic in topics:
        topic.compare(ledger)
    result = Audit(
        is_full,
        [partition for topic in topics for partition in topic.partitions.values()],
        {topic.name: topic.bounds.gaps for topic in topics},
        {topic.name: topic.accepted for topic in topics},
        [*damaged, *(finding for topic in topics for finding in topic.findings)],
        sum(topic.acknowledged for topic in topics),
        sum(topic.not_yet_taken_in for topic in topics),
        {topic.name: topic.changes for topic in topics},
    )
    if not result.findings:
        record_proof(spark, result.partitions, {topic.name: topic.snapshots for topic in topics})
    return result


def _looked_at(
    spark: SparkSession, settings: Settings, proven: dict[str, Proof], is_full: bool
) -> list["_Topic"]:
    """No writer is between two tables while they, and Kafka's ends, are looked at."""
    names = [contract.topic for contract in CONTRACTS]
    with writer_locks(spark, names, settings.writer_lease_seconds) as check_locks:
        topics = [
            _Topic(spark, settings, each, proven.get(each.topic, Proof()), is_full)
            for each in CONTRACTS
        ]
        check_locks()
        return topics


def _damaged(spark: SparkSession, table: Table) -> Iterator[Finding]:
    if files := list(damaged_files(spark, table)):
        yield Finding(
            "files",
            table.name,
            len(files),
            "files of the current snapshot are not as listed",
            files[:3],
            "Restore them from the store's versions or a backup; offsets are compared after that",
        )


class _Topic:
    """The tables of one topic, each as it was when it was first looked at."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        proof: Proof,
        is_full: bool,
    ):
        self._spark = spark
        self._settings = settings
        self.name = contract.topic
        # In the order in which an ingest appends.
        tables = (
            (RAW, raw_table(contract)),
            (STAGED, staging_table(contract)),
            (DUPLICATE, DUPLICATES),
            (DEAD, DEAD_LETTERS),
        )
        self._pinned = {place: pin(spark, table, self.name) for place, table in tables}
        self.bounds = Bounds(
            {place: pinned.frontier for place, pinned in self._pinned.items()},
            accepted_gaps(spark, self.name),
        )
        (topic,) = read_topics(settings, [self.name])
        self.accepted = accepted_topics(spark, self.name)
        origins = (pinned.origin for pinned in self._pinned.values())
        self._topic, replaced = as_recorded(topic, origins, self.accepted)
        ends = self._topic.latest
        self._held = {p: range(start, ends[p]) for p, start in self._topic.earliest.items()}
        self.snapshots = [self._pinned[place].snapshot for place in PROVEN]
        self.changes = list(self._changes_since(proof)) if proof.ends else []
        # Where the comparison of each partition begins, if not at its first offset.
        self._proven = {} if is_full or self.changes else proof.ends
        proven = {} if is_full else proof.ends
        self.partitions = {number: self._partition(number) for number in self._numbers()}
        self.findings = [another_topic(self.name)] if replaced else []
        self.findings += [
            finding
            for number, partition in self.partitions.items()
            for finding in frontier_findings(
                partition,
                self.bounds.end(STAGED, number),
                self._delivered_end(number),
                proven.get(number, 0),
            )
        ]
        self.acknowledged = self.not_yet_taken_in = 0

    def _changes_since(self, proof: Proof) -> Iterator[str]:
        if proof.snapshots[RAW] is None:
            yield "the last audit was of a version that did not note which snapshots it looked at"
            return
        for place, pinned in self._pinned.items():
            since = proof.snapshots[place]
            yield from changes_by_others(self._spark, pinned.table, pinned.snapshot, since)

    def _delivered_end(self, number: int) -> int | None:
        if generation_of(number) < self._topic.generation:
            return None
        return self._held[number].stop if number in self._held else 0

    def _numbers(self) -> list[int]:
        return sorted({*self.bounds.edges(), *self._held})

    def _partition(self, number: int) -> PartitionCount:
        return PartitionCount(
            self.name,
            number,
            start=self._proven.get(number, 0),
            accepted_gap=covered(gap for gap in self.bounds.gaps if gap.partition == number),
            frontier=self.bounds.end(RAW, number),
        )

    def compare(self, ledger: Path | None) -> None:
        """Count the offsets of all places, and look for those that break a rule."""
        acknowledged = read_ledger(self._spark, ledger, self._topic) if ledger else None
        ways = patterns_in(self._chunks(acknowledged), self.bounds).collect()
        broken = []
        for way in ways:
            counts = {place: way[place] for place in PLACES}
            pattern = Pattern(way.partition, way.first, way.last, way.offsets, counts)
            self._count(pattern)
            broken += [(each, pattern) for each in problems(pattern, self.bounds)]
        if acknowledged is not None:
            differing = other_content(self._rows(self._pinned[RAW]), acknowledged)
            broken += [(Problem(OTHER_CONTENT), pattern) for pattern in differing]
        names = {place: pinned.table.name for place, pinned in self._pinned.items()}
        self.findings += findings_of(self.name, names, broken)

    def _count(self, pattern: Pattern) -> None:
        if partition := self.partitions.get(pattern.partition):
            partition.add(pattern)
        if pattern.has(LEDGER):
            self.acknowledged += pattern.offsets
            if pattern.first >= self.bounds.end(RAW, pattern.partition):
                self.not_yet_taken_in += pattern.offsets

    def _chunks(self, acknowledged: DataFrame | None) -> DataFrame:
        sources = [
            in_chunks(letter_places(self._rows(pinned)))
            if place == DEAD
            else in_chunks(table_places(self._rows(pinned), pinned.table, place), place)
            for place, pinned in self._pinned.items()
        ]
        if ranges := self._delivered():
            sources.append(kafka_chunks(self._spark, self._settings, self._topic, ranges))
        if acknowledged is not None:
            sources.append(in_chunks(acknowledged, LEDGER))
        return reduce(DataFrame.unionAll, sources)

    def _rows(self, pinned: Pinned) -> DataFrame:
        rows = pinned.rows(self._spark, self.name)
        starts = {number: self._proven.get(number, 0) for number in self._numbers()}
        if any(starts.values()):
            # Lets Iceberg skip files, which the condition per partition doesn't.
            offset = F.col(pinned.table.offset_column)
            rows = rows.where(offset.isNull() | (offset >= min(starts.values())))
        return past(self._proven, rows, pinned.table)

    def _delivered(self) -> dict[int, range]:
        """Partition -> what Kafka holds of the offsets to compare."""
        ranges = {
            number: range(
                max(held.start, self._proven.get(number, 0)),
                min(held.stop, self.bounds.end(RAW, number)),
            )
            for number, held in self._held.items()
        }
        return {number: offsets for number, offsets in ranges.items() if offsets}
