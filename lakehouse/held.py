"""Positions of messages, as tasks know them: which of a batch's rows are among them."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

# Partition -> offsets.
Held = dict[int, np.ndarray]


def held_of(positions: Iterable[DataFrame]) -> Held:
    """Of frames with a column of partitions and one of offsets; few enough for the driver."""
    found: dict[int, list[np.ndarray]] = {}
    for frame in positions:
        partitions, offsets = (column.to_numpy() for column in frame.toArrow().columns)
        for partition in np.unique(partitions).tolist():
            found.setdefault(partition, []).append(offsets[partitions == partition])
    return {partition: np.concatenate(offsets) for partition, offsets in found.items()}


def is_among(held: Held, partitions: pa.Array, offsets: pa.Array) -> np.ndarray:
    at, numbers = partitions.to_numpy(), offsets.to_numpy()
    among = np.zeros(len(numbers), bool)
    for partition, known in held.items():
        among |= (at == partition) & np.isin(numbers, known)
    return among
