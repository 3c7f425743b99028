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

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.aside import Aside, duplicate_rows
from lakehouse.bookmarks import Frontier, Origin, bookmark_properties, read_bookmark
from lakehouse.commit import TableMovedError, append
from lakehouse.consume import Range
from lakehouse.contracts import Contract
from lakehouse.data_file import DataFile
from lakehouse.duplicates import POSITION, find_repeated
from lakehouse.errors import LakehouseError
from lakehouse.extent import Extent
from lakehouse.held import Held, held_of
from lakehouse.history import marked
from lakehouse.iceberg import current_snapshot
from lakehouse.intake import Intake, files_of, first_of
from lakehouse.layout import Layout, layout_of
from lakehouse.parquet import write_rows
from lakehouse.slices import Offsets, is_any_of
from lakehouse.tables import DEAD_LETTERS, DUPLICATES, Table, staging_table, tables_of

# Of one append, where others commit to the table at the same time.
ATTEMPTS = 5

log = logging.getLogger("lakehouse.write")
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
        files = {table: files_of(found, table) for table in self._frontiers}
        if DUPLICATES in files:
            aside = Aside(
                self._spark, self._contract, self._layouts, self._horizon, self._value_limit
            )
            if conflicts := aside.set_aside(found, files):
                batch = replace(batch, rejections=[*batch.rejections, conflicts])
        self._check(batch)
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
        properties = bookmark_properties(topic, self._origin, frontier)
        for again in range(ATTEMPTS):
            with _turns[table]:
                now = read_bookmark(self._spark, table, topic)
                if now.frontier != before:
                    raise LakehouseError(
                        f"Another ingest has taken over {topic}: it has written to {table.name}",
                        "Nothing is lost or doubled; leave it to that one",
                    )
                try:
                    added = append(self._spark, table, files, now.snapshot_id, properties)
                except TableMovedError as error:
                    log.warning(f"{error}; appending again", extra={"attempt": again + 1})
                else:
                    self._frontiers[table] = frontier
                    return added, again
        raise LakehouseError(
            f"{table.name} changed {ATTEMPTS} times while {topic} was appended to it",
            "Run this again when its maintenance is done",
        )


def stage_missing(
    contract: Contract, accepted: DataFrame, horizon: timedelta, dry_run: bool
) -> tuple[int, DataFrame | None]:
    """Stage what staging does not hold, once however often; duplicates go to theirs.

    Returns how many were staged, and find_repeated's answer where the topic has one.
    """
    spark, staging = accepted.sparkSession, staging_table(contract)
    at, duplicates_at = (current_snapshot(spark, table) for table in (staging, DUPLICATES))
    staged = spark.table(staging.identifier)
    missing = accepted.select(staging.column_names).join(staged, POSITION, "left_anti")
    repeated = None
    if DUPLICATES in tables_of(contract):
        repeated = find_repeated(missing, staged, horizon)
        missing = missing.join(repeated, POSITION, "left_anti")
    if dry_run:
        return 0, repeated
    files = write_rows(missing, layout_of(spark, staging))
    count = append(spark, staging, files, at, {})
    if repeated is not None:
        known = spark.table(DUPLICATES.identifier)
        fresh = duplicate_rows(contract, repeated)
        fresh = fresh.join(known, ["topic", "partition", "offset"], "left_anti")
        files = write_rows(fresh, layout_of(spark, DUPLICATES))
        append(spark, DUPLICATES, files, duplicates_at, {})
    return count, repeated


def settle(verdicts: DataFrame) -> None:
    """Change open dead letters, found by topic, partition and offset, in all other columns."""
    target = DEAD_LETTERS.identifier
    position = ["topic", "partition", "offset"]
    changed = [name for name in verdicts.columns if name not in position]
    is_same = " AND ".join(f"{target}.{name} = verdicts.{name}" for name in position)
    merge = verdicts.alias("verdicts").mergeInto(target, F.expr(is_same))
    is_open = merge.whenMatched(F.expr(f"{target}.outcome IS NULL"))
    with marked(verdicts.sparkSession):
        is_open.update({f"{target}.{name}": F.col(f"verdicts.{name}") for name in changed}).merge()
