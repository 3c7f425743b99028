"""Rows (partition, offset, place) -> which offsets each place has once, and which again, in Arrow.

A chunk is 65,536 consecutive offsets of a partition. A task reduces the rows that it sees of a
chunk and place to two sets of offsets: each a bitmap of 8 kB, or a list if that is shorter. So a
billion messages come to less than a GB, and at worst each of them costs two bytes.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

CHUNK_BITS = 16
CHUNK = 2**CHUNK_BITS
BITMAP_BYTES = CHUNK // 8
# What a task holds at a time: a byte per offset of a chunk and place, so these are 128 MB.
COUNTERS = 2048
# Counts stop here: more often than once is all that matters.
MANY = 2
SEEN = "partition int, chunk long, place string, once binary, again binary"

Key = tuple[int, int, str]
Batches = Iterable[pa.RecordBatch]


def in_chunks(positions: DataFrame, place: str | None = None) -> DataFrame:
    """SEEN of rows (partition, offset, place); a place that is given is that of all rows.

    A column with the same text in each row would cost Spark a microsecond per row. A Python process
    for each split of a table costs 0.3 CPU-seconds, so there are as many as can work at a time.
    """
    if place:
        positions = positions.select("partition", "offset")
    tasks = positions.sparkSession.sparkContext.defaultParallelism
    return positions.coalesce(tasks).mapInArrow(lambda batches: seen(batches, place), SEEN)


def seen(batches: Batches, place: str | None = None) -> Iterator[pa.RecordBatch]:
    """Do the same inside a task, which gives some rows per chunk and place."""
    counters: dict[Key, np.ndarray] = {}
    for batch in batches:
        for key, numbers in _by_chunk(batch, place):
            if key not in counters:
                if len(counters) == COUNTERS:
                    yield _packed(counters)
                    counters = {}
                counters[key] = np.zeros(CHUNK, np.uint8)
            _count(counters[key], numbers)
    if counters:
        yield _packed(counters)


def _by_chunk(batch: pa.RecordBatch, place: str | None) -> Iterator[tuple[Key, np.ndarray]]:
    """The offsets of each partition, chunk and place, counted from the start of the chunk."""
    if not batch.num_rows:
        return
    partitions, offsets = (batch.column(number).to_numpy() for number in (0, 1))
    columns = [partitions, offsets >> CHUNK_BITS]
    if place:
        names = [place]
    else:
        places = batch.column(2).dictionary_encode()
        columns.append(places.indices.to_numpy())
        names = places.dictionary.to_pylist()
    numbers = offsets & (CHUNK - 1)
    changes = np.zeros(len(numbers), bool)
    if any(column.min() != column.max() for column in columns):
        order = np.lexsort(columns)
        columns = [column[order] for column in columns]
        numbers = numbers[order]
        for column in columns:
            changes[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(changes)
    for start, part in zip([0, *starts.tolist()], np.split(numbers, starts), strict=True):
        partition, chunk, *others = (int(column[start]) for column in columns)
        yield (partition, chunk, names[others[0] if others else 0]), part


def _count(counter: np.ndarray, numbers: np.ndarray) -> None:
    times: np.ndarray | int = 1
    if not (numbers[1:] > numbers[:-1]).all():
        numbers, times = np.unique(numbers, return_counts=True)
    counter[numbers] = np.minimum(counter[numbers] + times, MANY)


def _packed(counters: dict[Key, np.ndarray]) -> pa.RecordBatch:
    partitions, chunks, places = zip(*counters, strict=True)
    again = [counter == MANY for counter in counters.values()]
    columns = [
        pa.array(partitions, pa.int32()),
        pa.array(chunks, pa.int64()),
        pa.array(places, pa.string()),
        pa.array([_set_of(counter > 0) for counter in counters.values()], pa.binary()),
        pa.array([_set_of(each) for each in again], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, ["partition", "chunk", "place", "once", "again"])


def _set_of(is_in: np.ndarray) -> bytes:
    numbers = np.flatnonzero(is_in)
    if 2 * len(numbers) < BITMAP_BYTES:
        return numbers.astype(np.uint16).tobytes()
    return np.packbits(is_in).tobytes()


def _add(packed: pa.Buffer, counter: np.ndarray) -> None:
    """Count each offset of the set once more."""
    if packed.size == BITMAP_BYTES:
        counter += np.unpackbits(np.frombuffer(packed, np.uint8))
    else:
        counter[np.frombuffer(packed, np.uint16)] += 1


def patterns_of(
    places: tuple[str, ...], edges: dict[int, set[int]]
) -> Callable[[pa.Table], pa.Table]:
    """Make a function from the rows of SEEN of one chunk to its patterns.

    A pattern is all offsets that have the same count in each place, and the same zone: the number
    of the partition's `edges` at or below the offset.
    """
    ordered = {partition: np.array(sorted(each)) for partition, each in edges.items()}
    weights = {place: (MANY + 1) ** number for number, place in enumerate(places)}

    def found(rows: pa.Table) -> pa.Table:
        partition, first = rows["partition"][0].as_py(), rows["chunk"][0].as_py() * CHUNK
        # All counts of an offset in one number, with a digit to the base of 3 for each place.
        counts = np.zeros(CHUNK, np.int32)
        for place, counter in _counters(rows).items():
            counts += counter * np.int32(weights[place])
        cuts = ordered.get(partition, np.array([], np.int64))
        inside = cuts[(cuts > first) & (cuts < first + CHUNK)] - first
        patterns = []
        for start, part in zip([0, *inside], np.split(counts, inside), strict=True):
            zone = int(np.searchsorted(cuts, first + start, side="right"))
            for value, size, low, high in _runs(part):
                digits = [value // weight % (MANY + 1) for weight in weights.values()]
                at = first + int(start)
                patterns.append((partition, zone, *digits, size, at + low, at + high))
        names = ["partition", "zone", *places, "offsets", "first", "last"]
        types = [pa.int32(), pa.int32(), *[pa.int64()] * (len(places) + 3)]
        columns = zip(*patterns, strict=True)
        arrays = [pa.array(each, kind) for each, kind in zip(columns, types, strict=True)]
        return pa.Table.from_arrays(arrays, names)

    return found


def _counters(rows: pa.Table) -> dict[str, np.ndarray]:
    counters: dict[str, np.ndarray] = {}
    for place, once, again in zip(
        *(rows[name] for name in ("place", "once", "again")), strict=True
    ):
        counter = counters.setdefault(place.as_py(), np.zeros(CHUNK, np.uint8))
        _add(once.as_buffer(), counter)
        _add(again.as_buffer(), counter)
        np.minimum(counter, MANY, out=counter)
    return counters


def _runs(counts: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Each count but 0: itself, how many offsets have it, the first and the last of them."""
    numbers = np.flatnonzero(counts)
    values = counts[numbers]
    for value in np.unique(values).tolist():
        having = numbers[values == value]
        yield value, len(having), int(having[0]), int(having[-1])
