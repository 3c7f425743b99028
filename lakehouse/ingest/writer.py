"""Messages -> rows of raw, staging, ops.duplicates and ops.dead_letters; letters settled.

What goes where stands here; how it is committed, in `commit`.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.branch_commit import replace as replace_rows
from lakehouse.iceberg.catalog import current_snapshot, iceberg_table, snapshots
from lakehouse.iceberg.commit import ATTEMPTS, TableMovedError
from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.file_tasks import write_rows
from lakehouse.iceberg.table import Table
from lakehouse.iceberg.write_target import Layout, layout_of
from lakehouse.ingest.completeness import require_complete
from lakehouse.ingest.redelivered import Aside, duplicate_rows
from lakehouse.ingest.results import Extent
from lakehouse.ingest.task import Intake, files_of, first_of
from lakehouse.kafka.last_message import newest
from lakehouse.kafka.offsets import Frontier, LastMessage, Origin, Range
from lakehouse.messages.duplicates import POSITION, find_repeated
from lakehouse.messages.offset_sets import Held, held_of
from lakehouse.replay.slices import Offsets, is_any_of
from lakehouse.retry import TransientError
from lakehouse.tables.append import append
from lakehouse.tables.bookmarks import bookmark_properties, read_bookmark
from lakehouse.tables.definitions import (
    DEAD_LETTERS,
    DUPLICATES,
    raw_table,
    staging_table,
    tables_of,
)

Result = TypeVar("Result")

log = logging.getLogger("lakehouse.ingest")
# Both topics of a run write to ops.dead_letters, each in a thread of its own.
_turns: dict[Table, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True)
class Written:
    """What one micro-batch came to, in messages: read = staged + duplicate + dead + seen before."""

    read: int
    staged: int
    duplicate: int
    dead: int
    # Appends that were done again, because another commit to the table came first.
    appended_again: int = 0

    @property
    def seen(self) -> int:
        return self.read - self.staged - self.duplicate - self.dead


class Writer:
    """Of one topic: each micro-batch goes to each table in one commit, with a bookmark.

    Repeating a batch, whole or in other boundaries, changes nothing: a message goes only where
    its offset is not yet. What `check` raises comes before the first commit. Values of dead
    letters are kept whole up to `value_limit` bytes; `horizon` is that of find_repeated.
    """

    def __init__(
        self,
        spark: SparkSession,
        contract: Contract,
        origin: Origin,
        kafka: dict[str, str],
        check: Callable[[Extent], None],
        value_limit: int,
        horizon: timedelta,
        frontiers: dict[Table, Frontier],
        last_messages: dict[int, LastMessage],
    ):
        self._spark = spark
        self._contract = contract
        self._origin = origin
        self._check = check
        self._horizon = horizon
        self._kafka = kafka
        self._value_limit = value_limit
        self._frontiers = frontiers
        # What offsets came to, on average, in the last batch.
        self._bytes_per_offset = 0.0
        self._looked_at: dict[Table, int | None] = {}
        self._last_messages = last_messages

    @property
    def frontier(self) -> Frontier:
        """Before which all tables have everything."""
        ends = self._frontiers.values()
        return {p: min(end.get(p, 0) for end in ends) for p in set().union(*ends)}

    def reach(self, ends: Frontier) -> None:
        """Move bookmarks ahead to offsets before which no message is left to write."""
        for table, before in self._frontiers.items():
            if any(end > before.get(partition, 0) for partition, end in ends.items()):
                self._append(table, [], ends)

    def write(self, ranges: list[Range]) -> tuple[Written, Frontier]:
        """Commit the messages of these ranges, or as many as make a batch; the end of those."""
        ranges = first_of(ranges, self._bytes_per_offset)
        raw, staging, *others = self._frontiers
        intake = Intake(self._contract, self._kafka, self._layouts, self._value_limit)
        # Before its rows and ids are looked at.
        self._looked_at = {staging: current_snapshot(self._spark, staging)}
        is_new = all(
            each.start >= frontier.get(each.partition, 0)
            for each in ranges
            for frontier in self._frontiers.values()
        )
        if not is_new:
            intake = replace(
                intake,
                held_in_raw=self._held(ranges, [raw]),
                held_elsewhere=self._held(ranges, [staging, *others]),
            )
        batch, found = intake.run(self._spark, ranges)
        offsets = sum(batch.ends[partition] - start for partition, start, _ in ranges)
        self._bytes_per_offset = batch.size / offsets
        read = [Range(partition, start, batch.ends[partition]) for partition, start, _ in ranges]
        require_complete(self._spark, self._contract, self._kafka, read, found)
        files = {table: files_of(found, table) for table in self._frontiers}
        if DUPLICATES in files:
            aside = Aside(
                self._spark, self._contract, self._layouts, self._horizon, self._value_limit
            )
            if conflicts := aside.set_aside(found, files):
                batch = replace(batch, rejections=[*batch.rejections, conflicts])
        self._check(batch)
        self._last_messages = newest((self._last_messages, batch.last_messages))
        added = {table: self._append(table, files[table], batch.ends) for table in self._frontiers}
        counts = {table: count for table, (count, _) in added.items()}
        written = Written(
            batch.read,
            counts[staging],
            counts.get(DUPLICATES, 0),
            counts[DEAD_LETTERS],
            sum(again for _, again in added.values()),
        )
        return written, batch.ends

    @cached_property
    def _layouts(self) -> dict[str, Layout]:
        return {table.name: layout_of(self._spark, table) for table in self._frontiers}

    def _held(self, ranges: list[Range], tables: list[Table]) -> Held:
        """What the tables hold of these offsets."""
        held = []
        for table in tables:
            rows = self._spark.table(table.identifier)
            if "topic" in table.column_names:
                rows = rows.where(F.col("topic") == self._contract.topic)
            position = table.partition_column, table.offset_column
            asked = is_any_of((Offsets(p, start, end - 1) for p, start, end in ranges), *position)
            held.append(rows.where(asked).select(*position))
        return held_of(held)

    def _append(self, table: Table, files: list[DataFile], ends: Frontier) -> tuple[int, int]:
        """How many rows were added, at which repetition; the frontier only ever moves ahead."""
        topic = self._contract.topic
        before = self._frontiers[table]
        frontier = before | {
            partition: max(end, before.get(partition, 0)) for partition, end in ends.items()
        }
        # They are raw's, which has all messages.
        last = self._last_messages if table == raw_table(self._contract) else None
        properties = bookmark_properties(topic, self._origin, frontier, last)
        for again in range(ATTEMPTS):
            with _turns[table]:
                now = read_bookmark(self._spark, table, topic)
                if now.frontier != before:
                    raise LakehouseError(
                        f"Another ingest has taken over {topic}: it has written to {table.name}",
                        "Nothing is lost or doubled; leave it to that one",
                    )
                if table in self._looked_at:
                    require_no_rows_since(self._spark, table, self._looked_at[table])
                try:
                    added = append(self._spark, table, files, now.snapshot_id, properties)
                except TableMovedError as error:
                    log.warning(f"{error}; appending again", extra={"attempt": again + 1})
                else:
                    self._frontiers[table] = frontier
                    self._looked_at.pop(table, None)
                    return added, again
        raise LakehouseError(
            f"{table.name} changed {ATTEMPTS} times while {topic} was appended to it",
            "Run this again when its maintenance is done",
        )


def require_no_rows_since(spark: SparkSession, table: Table, seen: int | None) -> None:
    """TransientError if rows came after a snapshot: one of them may be an event of this batch."""
    for snapshot in snapshots(iceberg_table(spark, table)):
        if snapshot.snapshotId() == seen:
            return
        # Compaction writes the same rows anew.
        if snapshot.operation() != "replace" and snapshot.summary().get("added-records"):
            break
    else:
        if seen is None:
            return
    raise TransientError(
        f"Rows were added to {table.name}, or it was rolled back, while a batch was compared "
        "with it",
        "The batch was not committed: run the same command again",
    )


def unless_moved(topic: str, step: Callable[[], Result]) -> Result:
    """Repeat a step that looks at tables and changes them, if others changed them in between."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return step()
        except TableMovedError as error:
            log.warning(f"{error}; comparing again", extra={"attempt": attempt})
    raise LakehouseError(
        f"The tables of {topic} changed {ATTEMPTS} times while they were compared",
        "Run this again when their maintenance is done",
    )


def stage_missing(
    contract: Contract,
    accepted: DataFrame,
    horizon: timedelta,
    dry_run: bool,
    check_locks: Callable[[], None],
) -> tuple[int, DataFrame | None]:
    """Stage what staging does not hold, once however often; duplicates go to theirs.

    Returns how many were staged, and find_repeated's answer where the topic has one.
    """
    spark, staging = accepted.sparkSession, staging_table(contract)
    count = 0

    def step() -> DataFrame | None:
        nonlocal count
        # Before the ids are looked at: what is committed after that moves the tables.
        at, duplicates_at = (current_snapshot(spark, table) for table in (staging, DUPLICATES))
        staged = spark.table(staging.identifier)
        missing = accepted.select(staging.column_names).join(staged, POSITION, "left_anti")
        repeated = None
        if DUPLICATES in tables_of(contract):
            repeated = find_repeated(missing, staged, horizon)
            missing = missing.join(repeated, POSITION, "left_anti")
        if dry_run:
            return repeated
        files = write_rows(missing, layout_of(spark, staging))
        check_locks()
        count += append(spark, staging, files, at, {})
        if repeated is not None:
            known = spark.table(DUPLICATES.identifier)
            fresh = duplicate_rows(contract, repeated)
            fresh = fresh.join(known, ["topic", "partition", "offset"], "left_anti")
            files = write_rows(fresh, layout_of(spark, DUPLICATES))
            check_locks()
            append(spark, DUPLICATES, files, duplicates_at, {})
        return repeated

    repeated = unless_moved(contract.topic, step)
    return count, repeated


def settle(verdicts: DataFrame, check_locks: Callable[[], None]) -> int:
    """Change open dead letters, found by topic, partition and offset, in all other columns.

    Returns how many were changed: one that was settled in the meantime is left as it is.
    """
    spark, position = verdicts.sparkSession, DEAD_LETTERS.position
    changed = [name for name in verdicts.columns if name not in position]
    # A commit makes Spark forget what it holds of the table, and work it out anew.
    verdicts = verdicts.withColumnsRenamed({name: f"new_{name}" for name in changed})
    verdicts = verdicts.localCheckpoint()

    def step() -> int:
        at = current_snapshot(spark, DEAD_LETTERS)
        letters = spark.table(DEAD_LETTERS.identifier).where("outcome IS NULL")
        rows = letters.join(verdicts, position).select(
            *(
                F.col(f"new_{name}").alias(name) if name in changed else name
                for name in DEAD_LETTERS.column_names
            )
        )
        rows = rows.localCheckpoint()
        count = rows.count()
        if count:
            check_locks()
            replace_rows(spark, DEAD_LETTERS, rows.select(position), rows, at)
        return count

    return unless_moved(DEAD_LETTERS.name, step)
