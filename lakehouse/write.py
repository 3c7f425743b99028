"""Decoded messages -> rows of raw, staging, ops.duplicates and ops.dead_letters; letters settled.

What goes where stands here; how it is committed, in `commit`.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.bookmarks import Frontier, Origin, bookmark_properties, read_bookmark
from lakehouse.commit import TableMovedError, append
from lakehouse.contracts import Contract
from lakehouse.duplicates import CONFLICT, CONFLICT_DETAIL, POSITION, find_repeated
from lakehouse.errors import LakehouseError
from lakehouse.extent import Extent, Rejections, extent_of
from lakehouse.tables import (
    DEAD_LETTERS,
    DUPLICATES,
    Table,
    current_snapshot,
    raw_table,
    staging_table,
    tables_of,
)

PREFIX_BYTES = 1024
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


@dataclass(frozen=True)
class Writer:
    """Of one topic: each micro-batch goes to each table in one commit, with a bookmark.

    Repeating a batch, whole or in other boundaries, changes nothing: a message goes only where
    its offset is not yet. What `check` raises comes before the first commit. Values of dead
    letters are kept whole up to `value_limit` bytes; `horizon` is that of find_repeated.
    """

    contract: Contract
    origin: Origin
    check: Callable[[Extent], None]
    value_limit: int
    horizon: timedelta

    def write(self, decoded: DataFrame) -> Written:
        decoded = decoded.persist()
        try:
            return self._write(decoded, extent_of(decoded))
        finally:
            decoded.unpersist()

    def reach(self, spark: SparkSession, ends: Frontier) -> None:
        """Move bookmarks ahead to offsets before which no message is left to write.

        Beyond the last row there can be more that Kafka never delivers, such as the end of a
        transaction. When retention has removed that, nothing tells it from a lost message.
        """
        for table in tables_of(self.contract):
            before = read_bookmark(spark, table, self.contract.topic).frontier
            if any(end > before.get(partition, 0) for partition, end in ends.items()):
                self._append(spark, table, None, before, ends)

    def _write(self, decoded: DataFrame, batch: Extent) -> Written:
        contract, spark = self.contract, decoded.sparkSession
        if not batch.read:
            return Written(0, 0, 0, 0)
        raw, staging, *others = tables_of(contract)
        frontiers = {
            table: read_bookmark(spark, table, contract.topic).frontier
            for table in (raw, staging, *others)
        }
        not_in_raw = undecided = decoded
        is_new = all(batch.is_past(frontier) for frontier in frontiers.values())
        if not is_new:
            not_in_raw = _without(contract, decoded, batch, [raw])
            undecided = _without(contract, decoded, batch, [staging, *others])
        accepted = undecided.where("error_class IS NULL").select(staging.column_names)
        rejected = undecided.where("error_class IS NOT NULL")
        rows: dict[Table, DataFrame | None] = {raw: _raw(contract, not_in_raw), staging: accepted}
        if DUPLICATES in others:
            repeated = find_repeated(accepted, spark.table(staging.identifier), self.horizon)
            same, conflicts = _count(repeated)
            if same or conflicts:
                positions = F.broadcast(repeated.select(POSITION))
                rows[staging] = accepted.join(positions, POSITION, "left_anti")
            rows[DUPLICATES] = duplicate_rows(contract, repeated) if same else None
            if conflicts:
                batch = replace(batch, rejections=[*batch.rejections, conflicts])
                rejected = rejected.unionByName(_conflicting(undecided, repeated))
        dead = dead_letter_rows(contract, rejected, self.value_limit)
        rows[DEAD_LETTERS] = dead if batch.rejected else None
        self.check(batch)
        added = {
            table: self._append(spark, table, rows[table], frontier, batch.ends)
            for table, frontier in frontiers.items()
        }
        counts = {table: count for table, (count, _) in added.items()}
        return Written(
            batch.read,
            counts[staging],
            counts.get(DUPLICATES, 0),
            counts[DEAD_LETTERS],
            sum(again for _, again in added.values()),
        )

    def _append(
        self,
        spark: SparkSession,
        table: Table,
        rows: DataFrame | None,
        before: Frontier,
        ends: Frontier,
    ) -> tuple[int, int]:
        """How many rows were added, at which repetition; the frontier only ever moves ahead."""
        topic = self.contract.topic
        frontier = before | {
            partition: max(end, before.get(partition, 0)) for partition, end in ends.items()
        }
        properties = bookmark_properties(topic, self.origin, frontier)
        for again in range(ATTEMPTS):
            with _turns[table]:
                now = read_bookmark(spark, table, topic)
                if now.frontier != before:
                    raise LakehouseError(
                        f"Another ingest has taken over {topic}: it has written to {table.name}",
                        "Nothing is lost or doubled; leave it to that one",
                    )
                try:
                    return append(spark, table, rows, now.snapshot_id, properties), again
                except TableMovedError as error:
                    log.warning(f"{error}; appending again", extra={"attempt": again + 1})
        raise LakehouseError(
            f"{table.name} changed {ATTEMPTS} times while {topic} was appended to it",
            "Run this again when its maintenance is done",
        )


def _without(
    contract: Contract, decoded: DataFrame, batch: Extent, tables: list[Table]
) -> DataFrame:
    """Those of a batch whose offsets none of the tables holds."""
    first, last = min(batch.starts.values()), max(batch.ends.values())
    held = []
    for table in tables:
        rows = decoded.sparkSession.table(table.identifier)
        if "topic" in table.column_names:
            rows = rows.where(F.col("topic") == contract.topic)
        position = F.col(table.partition_column), F.col(table.offset_column)
        held.append(rows.where(position[1].between(first, last)).select(*position))
    return decoded.join(reduce(DataFrame.union, held).toDF(*POSITION), POSITION, "left_anti")


def _count(repeated: DataFrame) -> tuple[int, Rejections | None]:
    """Duplicates, and conflicts if there are any."""
    first = F.min_by(F.struct(*POSITION), F.struct(*POSITION)).alias("first")
    groups = repeated.groupBy("is_same").agg(F.count("*").alias("messages"), first).collect()
    counts = {group.is_same: group for group in groups}
    conflicts = counts.get(False)
    return (
        counts[True].messages if True in counts else 0,
        Rejections(CONFLICT, conflicts.messages, *conflicts.first) if conflicts else None,
    )


def duplicate_rows(contract: Contract, repeated: DataFrame) -> DataFrame:
    return (
        repeated.where("is_same")
        .withColumnsRenamed({"kafka_partition": "partition", "kafka_offset": "offset"})
        .withColumn("topic", F.lit(contract.topic))
        .select(DUPLICATES.column_names)
    )


def _conflicting(decoded: DataFrame, repeated: DataFrame) -> DataFrame:
    """Whole messages again, now rejected."""
    verdict = {"error_class": F.lit(CONFLICT), "error_detail": F.lit(CONFLICT_DETAIL)}
    conflicts = repeated.where("NOT is_same").select(POSITION)
    return decoded.join(conflicts, POSITION, "left_semi").withColumns(verdict)


def _raw(contract: Contract, decoded: DataFrame) -> DataFrame:
    return _messages(contract, decoded).select(raw_table(contract).column_names)


def _messages(contract: Contract, decoded: DataFrame) -> DataFrame:
    """With the names and types of the tables that hold whole messages."""
    return decoded.withColumnsRenamed(
        {"kafka_partition": "partition", "kafka_offset": "offset"}
    ).withColumns(
        {
            "topic": F.lit(contract.topic),
            "headers": F.from_json("headers", DEAD_LETTERS.spark_type("headers")),
        }
    )


def dead_letter_rows(contract: Contract, decoded: DataFrame, value_limit: int) -> DataFrame:
    is_whole = F.octet_length("value") <= value_limit
    return (
        _messages(contract, decoded.where("error_class IS NOT NULL"))
        .withColumns(
            {
                "value_bytes": F.octet_length("value"),
                "value_sha256": F.when(~is_whole, F.sha2("value", 256)),
                "value": F.when(is_whole, F.col("value")).otherwise(
                    F.substring("value", 1, PREFIX_BYTES)
                ),
                "contract_version": F.lit(contract.version),
                "attempt": F.lit(1),
                "replayed_at": F.lit(None).cast("timestamp"),
                "outcome": F.lit(None).cast("string"),
                "reason": F.lit(None).cast("string"),
            }
        )
        .select(DEAD_LETTERS.column_names)
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
    count = append(spark, staging, missing, at, {})
    if repeated is not None:
        known = spark.table(DUPLICATES.identifier)
        fresh = duplicate_rows(contract, repeated)
        fresh = fresh.join(known, ["topic", "partition", "offset"], "left_anti")
        append(spark, DUPLICATES, fresh, duplicates_at, {})
    return count, repeated


def settle(verdicts: DataFrame) -> None:
    """Change open dead letters, found by topic, partition and offset, in all other columns."""
    target = DEAD_LETTERS.identifier
    position = ["topic", "partition", "offset"]
    changed = [name for name in verdicts.columns if name not in position]
    is_same = " AND ".join(f"{target}.{name} = verdicts.{name}" for name in position)
    (
        verdicts.alias("verdicts")
        .mergeInto(target, F.expr(is_same))
        .whenMatched(F.expr(f"{target}.outcome IS NULL"))
        .update({f"{target}.{name}": F.col(f"verdicts.{name}") for name in changed})
        .merge()
    )
