"""Rows of more partitions than a task can have open files for -> the same, by partition.

A batch of backdated messages can touch thousands of days. An open Parquet file for each takes a
task 0.3 MB, and a file of a row or two costs more to write, to list and to read than its rows. So
the rows wait on disk until it is known how many each partition has.
"""

import mmap
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse.iceberg.data_file import PartitionValue

# A partition with fewer rows in a spool gets no file of its own.
ROWS_OF_A_FILE = 100
Values = tuple[PartitionValue, ...]


class Spool:
    """An unnamed temporary file: nothing is left of it when the task ends, however it ends."""

    def __init__(self, schema: pa.Schema):
        self._schema = schema
        self._file = tempfile.TemporaryFile(prefix="spool-")  # noqa: SIM115
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, "w"), schema)
        self._partitions: dict[Values, int] = {}
        # The partition of each row, by its number, in the order of the rows.
        self._numbers: list[np.ndarray] = []
        self._bytes = 0

    def add(self, rows: pa.Table, partitions: list[Values], counts: np.ndarray) -> None:
        """Rows in the order of these partitions, and how many rows each of the partitions has."""
        known = self._partitions
        numbers = [known.setdefault(partition, len(known)) for partition in partitions]
        (batch,) = rows.combine_chunks().to_batches()
        self._writer.write_batch(batch)
        self._numbers.append(np.repeat(numbers, counts))
        self._bytes += batch.nbytes

    def drain(self, at_once: int) -> Iterator[tuple[Values | None, pa.Table]]:
        """Yield all rows, with about `at_once` bytes in memory at a time.

        A partition with ROWS_OF_A_FILE rows or more comes with its values, one or several times
        in a row; the rows of all smaller partitions come with None. Both in the order of their
        values, so that the rows of a day are close to each other in a file that holds many days.
        """
        self._writer.close()
        self._file.flush()
        total = sum(map(len, self._numbers))
        ordered = sorted(self._partitions, key=_sortable)
        ranks = np.empty(len(ordered), np.int64)
        ranks[[self._partitions[partition] for partition in ordered]] = np.arange(len(ordered))
        runs = [ranks[numbers] for numbers in self._numbers]
        counts = np.bincount(np.concatenate(runs), minlength=len(ordered))
        rows_at_once = max(1, at_once * total // self._bytes)
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.py_buffer(mapped))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        for first, end in _spans(counts, rows_at_once):
            chosen = [(run >= first) & (run < end) for run in runs]
            pieces = []
            for batch, is_in in zip(batches, chosen, strict=True):
                pieces.append(batch.filter(pa.array(is_in)))
                # What was read would count as memory of the worker until its end.
                mapped.madvise(mmap.MADV_DONTNEED)
            if end - first == 1 and counts[first] >= ROWS_OF_A_FILE:
                # Perhaps much more than `at_once`.
                for piece in filter(len, pieces):
                    yield ordered[first], pa.Table.from_batches([piece])
                continue
            rows = pa.Table.from_batches(pieces, self._schema).combine_chunks()
            found = np.concatenate([run[is_in] for run, is_in in zip(runs, chosen, strict=True)])
            order = np.argsort(found, kind="stable")
            rows, found = rows.take(pa.array(order)), found[order]
            is_small = counts[found] < ROWS_OF_A_FILE
            if is_small.any():
                yield None, rows.filter(pa.array(is_small))
            for rank in range(first, end):
                if counts[rank] >= ROWS_OF_A_FILE:
                    start, stop = np.searchsorted(found, (rank, rank + 1))
                    yield ordered[rank], rows.slice(start, stop - start)

    def close(self) -> None:
        self._file.close()


def _spans(counts: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of partitions that have about `most` rows together, or one partition alone."""
    ends = np.cumsum(counts)
    first = taken = 0
    while first < len(counts):
        end = max(first + 1, int(np.searchsorted(ends, taken + most, side="right")))
        yield first, end
        first, taken = end, int(ends[end - 1])


def _sortable(partition: Values) -> tuple[Any, ...]:
    """Make a partition's values sortable, nulls first."""
    return tuple((value is not None, value) for value in partition)
