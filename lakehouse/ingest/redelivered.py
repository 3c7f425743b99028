"""Files of a batch -> the same, with redelivered events moved to duplicates and dead letters."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import Contract
from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.file_tasks import read_rows, rewrite, write_rows
from lakehouse.iceberg.table import Table
from lakehouse.iceberg.write_target import WriteTarget
from lakehouse.ingest.results import RejectionCount
from lakehouse.ingest.task import TaskResult
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages.duplicates import (
    CONFLICT,
    POSITION,
    compared,
    conflict_detail,
    event_keys,
    repeated_in,
)
from lakehouse.messages.offset_conditions import is_any_of
from lakehouse.messages.offset_sets import Held, held_of, is_among, is_in
from lakehouse.messages.rows import dead_letter_rows, duplicate_rows
from lakehouse.messages.staged_ids import staged_with
from lakehouse.tables.definitions import DEAD_LETTERS, DUPLICATES, raw_table, staging_table

Files = dict[Table, list[DataFile]]


@dataclass(frozen=True)
class Redeliveries:
    """Finds one topic's redeliveries in a batch and moves them to duplicates and dead letters."""

    spark: SparkSession
    contract: Contract
    layouts: dict[str, WriteTarget]
    horizon: timedelta
    value_limit: int

    def divert(self, found: list[TaskResult], files: Files) -> tuple[Files, RejectionCount | None]:
        """Return the files with redelivered events moved out of staging's, and the conflicts.

        Nothing is committed. Most batches have no redelivery: hashes of the ids are compared then,
        and `files` are returned as they are.
        """
        staging = staging_table(self.contract)
        repeated = self._repeated(found, files[staging])
        if repeated is None:
            return files, None
        files = dict(files)
        same, conflicts = _count(repeated)
        if same or conflicts:
            gone = held_of([repeated.select(POSITION)])
            files[staging] = rewrite(
                self.spark,
                self.layouts[staging.name],
                files[staging],
                lambda rows: pa.array(~is_among(gone, *(rows[name] for name in POSITION))),
                POSITION,
            )
        if same:
            rows = duplicate_rows(self.contract, repeated)
            files[DUPLICATES] = write_rows(rows, self.layouts[DUPLICATES.name])
        if conflicts:
            rows = self._letters(repeated, files[raw_table(self.contract)])
            letters = write_rows(rows, self.layouts[DEAD_LETTERS.name])
            files[DEAD_LETTERS] = [*files[DEAD_LETTERS], *letters]
        return files, conflicts

    def _repeated(self, found: list[TaskResult], files: list[DataFile]) -> DataFrame | None:
        """find_repeated's answer for the rows of these files; None if no id comes again."""
        event_id = self.contract.id_column
        keys = np.concatenate([np.frombuffer(taken.event_keys, np.int64) for taken in found])
        if not keys.size:
            return None
        keys.sort()
        layout = self.layouts[staging_table(self.contract).name]
        days = set().union(*(taken.event_days for taken in found))
        staged = staged_with(self.spark, self.contract, layout, keys, days, self.horizon).persist()
        try:
            before = staged.select("event_key").toArrow()["event_key"].to_numpy()
            suspected = np.union1d(repeated_in(keys), before)
            if not suspected.size:
                return None
            accepted = read_rows(
                self.spark,
                layout,
                files,
                lambda rows: is_in(event_keys(rows[event_id]), suspected),
            )
            return compared(self.contract, accepted, staged).localCheckpoint()
        finally:
            staged.unpersist()

    def _letters(self, repeated: DataFrame, files: list[DataFile]) -> DataFrame:
        """Return conflicting messages, from the batch's raw files or, after a crash, from raw."""
        raw = raw_table(self.contract)
        position = [raw.partition_column, raw.offset_column]
        conflicts = repeated.where("NOT is_same").select(POSITION).toDF(*position)
        here = held_of([conflicts])
        written = read_rows(
            self.spark,
            self.layouts[raw.name],
            files,
            lambda rows: is_among(here, *(rows[name] for name in position)),
        )
        before = self.spark.table(raw.identifier).where(is_any_of(_spans(here)))
        messages = written.unionByName(before.join(F.broadcast(conflicts), position, "left_semi"))
        verdict = {
            "error_class": F.lit(CONFLICT),
            "error_detail": F.lit(conflict_detail(self.contract)),
        }
        return dead_letter_rows(self.contract, messages.withColumns(verdict), self.value_limit)


def _spans(held: Held) -> list[OffsetRange]:
    return [
        OffsetRange(p, int(offsets.min()), int(offsets.max()) + 1) for p, offsets in held.items()
    ]


def _count(repeated: DataFrame) -> tuple[int, RejectionCount | None]:
    """Duplicates, and conflicts if there are any."""
    first = F.min_by(F.struct(*POSITION), F.struct(*POSITION)).alias("first")
    groups = repeated.groupBy("is_same").agg(F.count("*").alias("messages"), first).collect()
    counts = {group.is_same: group for group in groups}
    conflicts = counts.get(False)
    return (
        counts[True].messages if True in counts else 0,
        RejectionCount(CONFLICT, conflicts.messages, *conflicts.first) if conflicts else None,
    )
