"""Offset ranges of a topic -> raw, staging, ops.duplicates and ops.dead_letters, in two steps.

First the files of a batch are written and compared with the tables; then they are committed.
"""

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import current_snapshot, iceberg_table, snapshots
from lakehouse.iceberg.commit import ATTEMPTS, TableMovedError
from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.table import Table
from lakehouse.iceberg.write_target import WriteTarget, write_target
from lakehouse.ingest.completeness import require_complete
from lakehouse.ingest.redelivered import Files, Redeliveries
from lakehouse.ingest.results import BatchResult, BatchSummary
from lakehouse.ingest.task import BatchTasks, files_of, first_of
from lakehouse.kafka.last_message import newest
from lakehouse.kafka.offsets import Frontier, LastMessage, OffsetRange, Origin
from lakehouse.messages.offset_conditions import is_any_of
from lakehouse.messages.offset_sets import Held, held_of
from lakehouse.retry import TransientError
from lakehouse.tables.append import append
from lakehouse.tables.bookmarks import bookmark_properties, read_bookmark
from lakehouse.tables.definitions import (
    DEAD_LETTERS,
    DUPLICATES,
    raw_table,
    staging_table,
)

log = logging.getLogger("lakehouse.ingest")
# Both topics of a run write to ops.dead_letters, each in a thread of its own.
_turns: dict[Table, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True)
class Batch:
    """A micro-batch whose files are written and compared with the tables, but not committed."""

    summary: BatchSummary
    files: Files


class BatchWriter:
    """Writes one topic's micro-batches: each goes to each table in one commit, with a bookmark.

    Repeating a batch, whole or in other boundaries, changes nothing: a message goes only where
    its offset is not yet. Values of dead letters are kept whole up to `value_limit` bytes;
    `horizon` is that of find_repeated.
    """

    def __init__(
        self,
        spark: SparkSession,
        contract: Contract,
        origin: Origin,
        kafka: dict[str, str],
        value_limit: int,
        horizon: timedelta,
        frontiers: dict[Table, Frontier],
        last_messages: dict[int, LastMessage],
    ):
        self._spark = spark
        self._contract = contract
        self._origin = origin
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

    def prepare(self, ranges: list[OffsetRange]) -> Batch:
        """Write the files of the messages in these ranges, or of as many as make a batch."""
        ranges = first_of(ranges, self._bytes_per_offset)
        raw, staging, *others = self._frontiers
        intake = BatchTasks(self._contract, self._kafka, self._layouts, self._value_limit)
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
        read = [
            OffsetRange(partition, start, batch.ends[partition]) for partition, start, _ in ranges
        ]
        require_complete(self._spark, self._contract, self._kafka, read, found)
        files = {table: files_of(found, table) for table in self._frontiers}
        if DUPLICATES in files:
            redeliveries = Redeliveries(
                self._spark, self._contract, self._layouts, self._horizon, self._value_limit
            )
            files, conflicts = redeliveries.divert(found, files)
            if conflicts:
                batch = replace(batch, rejections=[*batch.rejections, conflicts])
        return Batch(batch, files)

    def commit(self, batch: Batch) -> BatchResult:
        """Make the files part of the tables, raw first, each table with its bookmark."""
        summary = batch.summary
        self._last_messages = newest((self._last_messages, summary.last_messages))
        added = {
            table: self._append(table, batch.files[table], summary.ends)
            for table in self._frontiers
        }
        counts = {table: count for table, (count, _) in added.items()}
        return BatchResult(
            summary.read,
            counts[staging_table(self._contract)],
            counts.get(DUPLICATES, 0),
            counts[DEAD_LETTERS],
            sum(again for _, again in added.values()),
        )

    @cached_property
    def _layouts(self) -> dict[str, WriteTarget]:
        return {table.name: write_target(self._spark, table) for table in self._frontiers}

    def _held(self, ranges: list[OffsetRange], tables: list[Table]) -> Held:
        """Return which of these offsets the tables hold."""
        held = []
        for table in tables:
            rows = self._spark.table(table.identifier)
            if "topic" in table.column_names:
                rows = rows.where(F.col("topic") == self._contract.topic)
            position = table.partition_column, table.offset_column
            asked = is_any_of(ranges, *position)
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
