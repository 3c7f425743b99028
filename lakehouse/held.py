"""Positions of messages, as tasks know them: which of a batch's rows are among them."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

# Partition -> offsets, ascending.
Held = dict[int, np.ndarray]


def held_of(positions: Iterable[DataFrame]) -> Held:
    """Of frames with a column of partitions and one of offsets; few enough for the driver."""
    found: dict[int, list[np.ndarray]] = {}
    for frame in positions:
        partitions, offsets = (column.to_numpy() for column in frame.toArrow().columns)
        for partition in np.unique(partitions).tolist():
            found.setdefault(partition, []).append(offsets[partitions == partition])
    return {partition: np.sort(np.concatenate(each)) for partition, each in found.items()}


def is_in(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Where numpy's isin would put `ordered` in order for each few values."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    found = np.searchsorted(ordered, values)
    return ordered[np.minimum(found, len(ordered) - 1)] == values


def is_among(held: Held, partitions: pa.Array, offsets: pa.Array) -> np.ndarray:
    at, numbers = partitions.to_numpy(), offsets.to_numpy()
    among = np.zeros(len(numbers), bool)
    for partition, known in held.items():
        among |= (at == partition) & is_in(numbers, known)
    return among
