"""raw.* -> staging.stg_*, ops.duplicates, ops.dead_letters, as the contract of today has them."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.iceberg.commit import unless_moved
from lakehouse.locks.writer_lock import writer_locks
from lakehouse.messages.decode import decode
from lakehouse.messages.duplicates import POSITION
from lakehouse.messages.outcomes import DISCARDED, IS_OPEN
from lakehouse.replay.catch_up import advance_bookmarks
from lakehouse.replay.changes import Change, Placement, TableVersions
from lakehouse.replay.placement import (
    NEW_DUPLICATE,
    NEW_LETTER,
    NEW_ROW,
    NEWLY_SETTLED,
    REPEATED,
    UNDECIDED,
    WAITING,
    counted,
    decided,
    placed,
    repeated_among,
)
from lakehouse.replay.slices import Asked, Slice, slices
from lakehouse.settings import Settings
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, tables_of

MESSAGES_PER_SLICE = 1_000_000
# The position, as raw calls it.
MESSAGE = ["partition", "offset"]

log = logging.getLogger("lakehouse.replay")


@dataclass(frozen=True)
class RawReplay:
    """Counts of messages of one topic after a replay."""

    topic: str
    examined: int
    unchanged: int
    # Added to staging; replaced or removed there.
    staged: int
    replaced: int
    removed: int
    # Of the dead letters: added or opened again; with another verdict; settled, as they pass now.
    newly_dead: int
    new_verdict: int
    passed: int
    # Added to ops.duplicates.
    duplicate: int


REPORTED = [f.name for f in fields(RawReplay) if f.name not in ("topic", "unchanged")]


def replay(
    spark: SparkSession, settings: Settings, topic: str, asked: Asked, dry_run: bool = False
) -> RawReplay:
    """Bring a topic's tables to what raw and the contract say of the messages that are asked for.

    Only what differs is committed, so a replay that was interrupted is run again and goes on. With
    `dry_run` nothing is committed, and the counts are of what would be.

    Returns counts of messages. Raises ValueError for a topic without a contract, and LakehouseError
    if the topic has another writer or its tables were changed meanwhile.
    """
    contract = next((each for each in CONTRACTS if each.topic == topic), None)
    if contract is None:
        raise ValueError(f"{topic} has no contract in lakehouse/contracts/topics")
    topics = [] if dry_run else [topic]
    with writer_locks(spark, topics, settings.writer_lease_seconds) as check_locks:
        create_missing(spark)
        return _Replay(spark, settings, contract, asked, dry_run, check_locks).run()


class _Replay:
    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        asked: Asked,
        dry_run: bool,
        check_locks: Callable[[], None],
    ):
        self._spark = spark
        self._contract = contract
        self._asked = asked
        self._dry_run = dry_run
        self._horizon = timedelta(days=settings.duplicate_horizon_days)
        self._value_limit = settings.dead_letter_value_limit
        raw, *self._others = tables_of(contract)
        self._raw = raw
        self._check_locks = check_locks
        self._tables = TableVersions(spark, contract.topic, dry_run, check_locks)

    def run(self) -> RawReplay:
        asked = self._spark.table(self._raw.identifier).where(self._asked.condition)
        counts = self._bring_all(asked, is_last=False)
        if counts[WAITING] or counts[REPEATED]:
            pending = self._pending(bool(counts[WAITING]))
            if not pending.isEmpty():
                late = self._bring_all(asked.join(pending, MESSAGE, "left_semi"), is_last=True)
                counts += late - Counter(examined=late["examined"])
        if not self._dry_run:
            unless_moved(
                self._contract.topic,
                lambda: advance_bookmarks(
                    self._spark, self._contract, self._asked, self._check_locks
                ),
            )
        return RawReplay(
            self._contract.topic,
            unchanged=counts["examined"] - counts["changed"],
            **{name: counts[name] for name in REPORTED},
        )

    def _bring_all(self, messages: DataFrame, is_last: bool) -> Counter[str]:
        """Slice by slice; `is_last` as of placed."""
        counts: Counter[str] = Counter()
        parts = list(slices(messages, MESSAGES_PER_SLICE))
        for number, part in enumerate(parts, start=1):
            started = time.monotonic()
            found = self._bring(part, messages, is_last)
            counts += found
            log.info(
                "slice replayed",
                extra={
                    "topic": self._contract.topic,
                    "slice": f"{number} of {len(parts)}",
                    "days": f"{part.first_day}..{part.last_day}",
                    "is_last": is_last,
                    **{name: found[name] for name in REPORTED},
                    "dry_run": self._dry_run,
                    "seconds": round(time.monotonic() - started, 2),
                },
            )
        return counts

    def _bring(self, part: Slice, messages: DataFrame, is_last: bool) -> Counter[str]:
        records = part.of(messages).withColumnsRenamed(
            {"kafka_timestamp": "timestamp", "timestamp_type": "timestampType"}
        )
        decoded = decode(records, self._contract).dropDuplicates(POSITION).persist()
        try:
            return unless_moved(
                self._contract.topic, lambda: self._bring_decoded(decoded, part, is_last)
            )
        finally:
            decoded.unpersist()

    def _bring_decoded(self, decoded: DataFrame, part: Slice, is_last: bool) -> Counter[str]:
        self._tables.look(self._others)
        rows = {table: self._tables.rows(table) for table in self._others}
        held = {table: each.where(part.is_at(*POSITION)) for table, each in rows.items()}
        # Not read again once a table was changed.
        places = placed(self._contract, decoded, held, is_last).localCheckpoint(eager=False)
        counts = counted(places)
        repeated = None
        if counts[UNDECIDED]:
            if DUPLICATES in held:
                staged = rows[self._others[0]]
                repeated = repeated_among(self._contract, decoded, places, staged, self._horizon)
            places = decided(self._contract, places, repeated)
            counts = counted(places)
        placement = Placement(self._contract, decoded, places, repeated, held[DEAD_LETTERS])
        for each in self._changes(placement, counts):
            self._tables.apply(each)
        return counts

    def _changes(self, placement: Placement, counts: Counter[str]) -> Iterator[Change]:
        """Yield changes in the order of commits: a message is added to its new table first."""
        now = datetime.now(UTC)
        if counts[NEW_LETTER]:
            yield placement.dead(self._value_limit, now)
        if counts[NEW_ROW]:
            yield placement.staged()
        if counts[NEW_DUPLICATE]:
            yield placement.duplicates(self._tables.rows(DUPLICATES).limit(0))
        if counts[NEWLY_SETTLED]:
            yield placement.settled(now)

    def _pending(self, letters_wait: bool) -> DataFrame:
        """Positions of open letters, if some would pass, and of duplicates that lost their first.

        A first that is not staged, and nothing else either, is only not replayed yet.
        """
        letters = self._tables.rows(DEAD_LETTERS)
        pending = letters.where(IS_OPEN if letters_wait else "false").select(POSITION)
        if DUPLICATES in self._others:
            duplicates = self._tables.rows(DUPLICATES)
            dead = letters.where(f"{IS_OPEN} OR outcome = '{DISCARDED}'")
            other = dead.select(POSITION).union(duplicates.select(POSITION))
            first = {"first_partition": POSITION[0], "first_offset": POSITION[1]}
            orphans = (
                duplicates.withColumnsRenamed({name: f"own_{name}" for name in POSITION})
                .withColumnsRenamed(first)
                .join(self._tables.rows(self._others[0]), POSITION, "left_anti")
                .join(other, POSITION, "left_semi")
            )
            pending = pending.union(orphans.select(*(f"own_{name}" for name in POSITION)))
        return pending.distinct().toDF(*MESSAGE).localCheckpoint()
