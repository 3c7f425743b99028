"""Ranges of Kafka's offsets -> files of raw, staging and the dead letters, in tasks of Spark.

Each task reads its part of a topic, decodes each message once and writes all files in one pass.
Nothing of them is in a table before the driver has seen all tasks end, and commits.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from lakehouse.contracts import Contract
from lakehouse.iceberg.data_file import DataFile
from lakehouse.iceberg.file_writer import FileWriter, remove
from lakehouse.iceberg.table import Table
from lakehouse.iceberg.write_target import WriteTarget
from lakehouse.ingest.results import BatchSummary, RejectionCount
from lakehouse.kafka.consumer import consume
from lakehouse.kafka.last_message import last_message, newest
from lakehouse.kafka.offsets import Frontier, LastMessage, OffsetRange
from lakehouse.messages.decode import judge, spare_worker, take
from lakehouse.messages.duplicates import event_keys
from lakehouse.messages.offset_sets import Held, is_among
from lakehouse.messages.rows import letter_columns, raw_columns, staged_columns
from lakehouse.tables.definitions import DEAD_LETTERS, raw_table, staging_table

# A task for less costs more than it saves.
MESSAGES_PER_TASK = 50_000
# Keys, values and headers of a batch. All of it is written again after a failure, and a run that is
# out of patience has committed nothing of it.
BYTES_PER_BATCH = 4 * 2**30


class TaskResult(msgspec.Struct):
    """Result of one task: the messages that it read and the files that it wrote."""

    # Partition -> how many of its messages were read.
    messages: dict[int, int]
    # Bytes of their keys, values and headers.
    size: int
    # What it has read of its part: less than all where it came to its limit of bytes.
    ranges: list[OffsetRange]
    # Read, and not written, because the table has them: raw, or one of the others.
    held_in_raw: int
    held_elsewhere: int
    rejections: list[RejectionCount]
    # Table name -> its files.
    files: dict[str, list[DataFile]]
    # Of the staged events: xxhash64 of each id, as 64-bit numbers one after the other; their days.
    event_keys: bytes = b""
    event_days: set[date] = set()
    last_messages: dict[int, LastMessage] = {}

    @property
    def read(self) -> int:
        return sum(self.messages.values())


@dataclass(frozen=True)
class BatchTasks:
    """The tasks of one batch of a topic; can be sent to Spark. `layouts` are by table name.

    Offsets that are in `held` are not written: to raw, or to any of the others.
    """

    contract: Contract
    kafka: dict[str, str]
    layouts: dict[str, WriteTarget]
    value_limit: int
    held_in_raw: Held = field(default_factory=dict)
    held_elsewhere: Held = field(default_factory=dict)

    def run(
        self, spark: SparkSession, ranges: list[OffsetRange]
    ) -> tuple[BatchSummary, list[TaskResult]]:
        """Write the files of all messages, or of as many as BYTES_PER_BATCH allows.

        The extent's `ends` say how far each partition was read; without a gap, and never nowhere.
        """
        parts = _parts(ranges, spark.sparkContext.defaultParallelism)
        budget = BYTES_PER_BATCH // len(parts)

        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    taken = msgspec.msgpack.encode(self.run_one(parts[number], budget))
                    yield pa.RecordBatch.from_pydict({"taken": [taken]})

        rows = spark.range(0, len(parts), 1, len(parts)).mapInArrow(work, "taken binary").collect()
        found = [msgspec.msgpack.decode(row.taken, type=TaskResult) for row in rows]
        kept, ends = _without_gaps(ranges, found)
        for taken in (taken for taken in found if taken not in kept):
            for name, files in taken.files.items():
                remove(self.layouts[name], files)
        return _extent(ends, kept), kept

    def run_one(self, ranges: list[OffsetRange], budget: int) -> TaskResult:
        """Read and write messages of these ranges, up to `budget` bytes, in a task of Spark."""
        spare_worker()
        task = _Task(self)
        read = ranges
        with closing(consume(self.kafka, self.contract.topic, ranges)) as messages:
            for each, records in messages:
                task.write(each.partition, records)
                if task.size >= budget:
                    end = records["offset"][-1].as_py() + 1
                    read = [*ranges[: ranges.index(each)], each._replace(end=end)]
                    break
        return task.close(read)


class _Task:
    """The files that one task writes, and what it counts."""

    def __init__(self, intake: BatchTasks):
        self._intake = intake
        contract = intake.contract
        self._raw, self._staging, self._dead = (
            FileWriter(intake.layouts[table.name])
            for table in (raw_table(contract), staging_table(contract), DEAD_LETTERS)
        )
        self._keys: list[np.ndarray] = []
        self._days: set[date] = set()
        self._rejections = _Rejections()
        self._messages: Counter[int] = Counter()
        self._last_messages: dict[int, LastMessage] = {}
        self._held_in_raw = self._held_elsewhere = 0
        self.size = 0

    def write(self, partition: int, records: pa.RecordBatch) -> None:
        self._messages[partition] += len(records)
        self._last_messages[partition] = last_message(records)
        self.size += records.nbytes
        contract = self._intake.contract
        new = _without(self._intake.held_in_raw, records)
        self._held_in_raw += len(records) - len(new)
        self._raw.add(raw_columns(contract, new))
        new = _without(self._intake.held_elsewhere, records)
        self._held_elsewhere += len(records) - len(new)
        for indices, columns, verdicts in judge(contract, new):
            chosen = take(new, indices)
            if columns is not None:
                self._staging.add(staged_columns(chosen, columns))
                if contract.repeats_by:
                    keys, days = keys_and_days(contract, columns)
                    self._keys.append(keys)
                    self._days |= days
            if verdicts is not None:
                limit = self._intake.value_limit
                self._dead.add(letter_columns(contract, chosen, verdicts, limit))
                self._rejections.add(partition, chosen, verdicts[0])

    def close(self, ranges: list[OffsetRange]) -> TaskResult:
        contract = self._intake.contract
        tables = raw_table(contract), staging_table(contract), DEAD_LETTERS
        writers = self._raw, self._staging, self._dead
        return TaskResult(
            self._messages,
            self.size,
            ranges,
            self._held_in_raw,
            self._held_elsewhere,
            self._rejections.found(),
            {table.name: each.close() for table, each in zip(tables, writers, strict=True)},
            b"".join(map(np.ndarray.tobytes, self._keys)),
            self._days,
            self._last_messages,
        )


def keys_and_days(contract: Contract, columns: list[pa.Array]) -> tuple[np.ndarray, set[date]]:
    """Return the hash of each id by which a message may repeat another, and the days of all.

    `columns` are in the order of the contract's.
    """
    named = {field.name: each for field, each in zip(contract.columns, columns, strict=True)}
    days = pc.unique(named[contract.time].cast(pa.date32())).to_pylist()
    return event_keys(named[contract.id_column].drop_null()), set(days)


def first_of(ranges: list[OffsetRange], bytes_per_offset: float) -> list[OffsetRange]:
    """The ranges, or the same share of each if all together are expected to be too many bytes.

    Messages are not equally large: with a quarter of the bytes to spare, few tasks end early.
    """
    expected = sum(each.end - each.start for each in ranges) * bytes_per_offset
    share = 0.75 * BYTES_PER_BATCH / expected if expected > BYTES_PER_BATCH else 1
    return [
        OffsetRange(p, start, start + max(1, int((end - start) * share)))
        for p, start, end in ranges
    ]


def _parts(ranges: list[OffsetRange], most: int) -> list[list[OffsetRange]]:
    """About equal parts, for as many tasks as pay."""
    total = sum(each.end - each.start for each in ranges)
    count = max(1, min(most, total // MESSAGES_PER_TASK))
    size = -(-total // count)
    parts: list[list[OffsetRange]] = [[]]
    room = size
    for partition, start, end in ranges:
        while start < end:
            if not room:
                parts.append([])
                room = size
            stop = min(end, start + room)
            parts[-1].append(OffsetRange(partition, start, stop))
            room -= stop - start
            start = stop
    return parts


def _without(held: Held, records: pa.RecordBatch) -> pa.RecordBatch:
    if not held:
        return records
    return records.filter(pa.array(~is_among(held, records["partition"], records["offset"])))


class _Rejections:
    """Counts the rejected messages by class, and keeps the first of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, tuple[int, int]] = {}

    def add(self, partition: int, records: pa.RecordBatch, classes: pa.Array) -> None:
        for name, offset in zip(classes.to_pylist(), records["offset"].to_pylist(), strict=True):
            self._counts[name] += 1
            self._first.setdefault(name, (partition, offset))

    def found(self) -> list[RejectionCount]:
        return [RejectionCount(name, n, *self._first[name]) for name, n in self._counts.items()]


def _without_gaps(
    ranges: list[OffsetRange], found: list[TaskResult]
) -> tuple[list[TaskResult], Frontier]:
    """The tasks that read on where those before them had ended, and the ends of all partitions.

    A bookmark is one offset for each partition, so nothing beyond a gap can be committed.
    """
    ends: Frontier = {each.partition: each.start for each in ranges}
    kept = []
    for taken in found:
        if all(ends[each.partition] == each.start for each in taken.ranges):
            kept.append(taken)
            ends.update((each.partition, each.end) for each in taken.ranges)
    return kept, ends


def _extent(ends: Frontier, found: list[TaskResult]) -> BatchSummary:
    """Merge the tasks' results; each error class keeps its earliest message as the example."""
    rejections: dict[str, RejectionCount] = {}
    for each in (each for taken in found for each in taken.rejections):
        if known := rejections.get(each.error_class):
            first = min((known, each), key=lambda r: (r.partition, r.offset))
            each = RejectionCount(
                each.error_class, known.count + each.count, first.partition, first.offset
            )
        rejections[each.error_class] = each
    read, size = (sum(getattr(taken, name) for taken in found) for name in ("read", "size"))
    last = newest(taken.last_messages for taken in found)
    return BatchSummary(read, size, ends, list(rejections.values()), last)


def files_of(found: list[TaskResult], table: Table) -> list[DataFile]:
    return [file for taken in found for file in taken.files.get(table.name, [])]
