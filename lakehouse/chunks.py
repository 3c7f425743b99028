"""Rows (partition, offset, place) -> how often each place has each offset, in bitmaps, in Arrow.

A chunk is 65,536 consecutive offsets of a partition. Tasks reduce the rows that they see of a chunk
and place to two bitmaps, 16 kB together, so that a billion messages shuffle about a GB and no task
holds more than a few hundred chunks.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

CHUNK_BITS = 16
CHUNK = 2**CHUNK_BITS
# A counter has a byte per offset, so these are 64 MB.
COUNTERS = 1024
# Counts stop here: more often than once is all that matters.
MANY = 2
SEEN = "partition int, chunk long, place string, once binary, again binary"

Key = tuple[int, int, str]
Batches = Iterable[pa.RecordBatch]


def seen(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Rows of partition, offset and place -> rows of SEEN, some per chunk and place."""
    counters: dict[Key, np.ndarray] = {}
    for batch in batches:
        for key, numbers in _by_chunk(batch):
            if key not in counters:
                if len(counters) == COUNTERS:
                    yield _bitmaps(counters)
                    counters = {}
                counters[key] = np.zeros(CHUNK, np.uint8)
            _count(counters[key], numbers)
    if counters:
        yield _bitmaps(counters)


def _by_chunk(batch: pa.RecordBatch) -> Iterator[tuple[Key, np.ndarray]]:
    """The offsets of each partition, chunk and place, counted from the start of the chunk."""
    if not batch.num_rows:
        return
    partitions, offsets = (batch.column(number).to_numpy() for number in (0, 1))
    places = batch.column(2).dictionary_encode()
    columns = [partitions, offsets >> CHUNK_BITS, places.indices.to_numpy()]
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
        partition, chunk, place = (int(column[start]) for column in columns)
        yield (partition, chunk, places.dictionary[place].as_py()), part


def _count(counter: np.ndarray, numbers: np.ndarray) -> None:
    times: np.ndarray | int = 1
    if not (numbers[1:] > numbers[:-1]).all():
        numbers, times = np.unique(numbers, return_counts=True)
    counter[numbers] = np.minimum(counter[numbers] + times, MANY)


def _bitmaps(counters: dict[Key, np.ndarray]) -> pa.RecordBatch:
    partitions, chunks, places = zip(*counters, strict=True)
    columns = {
        "partition": pa.array(partitions, pa.int32()),
        "chunk": pa.array(chunks, pa.int64()),
        "place": pa.array(places, pa.string()),
        "once": [np.packbits(counter > 0).tobytes() for counter in counters.values()],
        "again": [
            np.packbits(counter == MANY).tobytes() if (counter == MANY).any() else None
            for counter in counters.values()
        ],
    }
    columns["again"] = pa.array(columns["again"], pa.binary())
    return pa.RecordBatch.from_pydict(columns)


def patterns_of(
    places: tuple[str, ...], edges: dict[int, set[int]]
) -> Callable[[pa.Table], pa.Table]:
    """A function from the rows of SEEN of one chunk to its patterns.

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
    for place, *bitmaps in zip(*(rows[name] for name in ("place", "once", "again")), strict=True):
        counter = counters.setdefault(place.as_py(), np.zeros(CHUNK, np.uint8))
        for bitmap in bitmaps:
            if bitmap.is_valid:
                counter += np.unpackbits(np.frombuffer(bitmap.as_buffer(), np.uint8))
        np.minimum(counter, MANY, out=counter)
    return counters


def _runs(counts: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Each count but 0: itself, how many offsets have it, the first and the last of them."""
    numbers = np.flatnonzero(counts)
    values = counts[numbers]
    for value in np.unique(values).tolist():
        having = numbers[values == value]
        yield value, len(having), int(having[0]), int(having[-1])
