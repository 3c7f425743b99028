"""Positions of messages, as tasks know them: which of a batch's rows are among them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

# Partition -> offsets, ascending.
Held = dict[int, np.ndarray]


def held_of(positions: Iterable[DataFrame]) -> Held:
    """Collect positions (partition, offset) from frames; few enough for the driver's memory."""
    found: dict[int, list[np.ndarray]] = defaultdict(list)
    for frame in positions:
        partitions, offsets = (column.to_numpy() for column in frame.toArrow().columns)
        for partition, rows in _by_partition(partitions):
            found[partition].append(offsets[rows])
    return {partition: np.sort(np.concatenate(each)) for partition, each in found.items()}


def is_in(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Like numpy.isin for a sorted `ordered`, which numpy would sort again on every call."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    found = np.searchsorted(ordered, values)
    is_found: np.ndarray = ordered[np.minimum(found, len(ordered) - 1)] == values
    return is_found


def is_among(held: Held, partitions: pa.Array, offsets: pa.Array) -> np.ndarray:
    numbers = offsets.to_numpy()
    among = np.zeros(len(numbers), bool)
    for partition, rows in _by_partition(partitions.to_numpy()):
        if partition in held:
            among[rows] = is_in(numbers[rows], held[partition])
    return among


def _by_partition(partitions: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each partition, and where it is: in one pass, however many there are."""
    order = np.argsort(partitions, kind="stable")
    found, starts = np.unique(partitions[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, starts)[1:], strict=True)
