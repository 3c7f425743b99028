"""Rows of many partitions: which have files of their own, and which share one."""

import numpy as np
import pyarrow as pa

from lakehouse.iceberg.spool import ROWS_OF_A_FILE, Spool

SCHEMA = pa.schema([("n", pa.int64())])
MANY = ROWS_OF_A_FILE


def spooled(*runs: list[tuple[tuple, int]]) -> Spool:
    """Each run has partitions, and how many rows of each; the rows are numbered through."""
    spool, number = Spool(SCHEMA), 0
    for run in runs:
        counts = np.array([count for _, count in run])
        rows = pa.table([pa.array(range(number, number + counts.sum()))], SCHEMA)
        spool.add(rows, [partition for partition, _ in run], counts)
        number += counts.sum()
    return spool


def drained(spool: Spool, at_once: int = 2**20) -> list[tuple[tuple | None, list[int]]]:
    found = [(p, rows["n"].to_pylist()) for p, rows in spool.drain(at_once)]
    spool.close()
    return found


def test_a_partition_has_all_its_rows_together_whenever_they_came():
    spool = spooled([(("a",), 60), (("b",), 100)], [(("b",), 1), (("a",), 40)])
    assert drained(spool) == [
        (("a",), [*range(60), *range(161, 201)]),
        (("b",), list(range(60, 161))),
    ]


def test_small_partitions_come_together_in_the_order_of_their_values():
    spool = spooled([(("2026-01-03", 1), 2), (("2026-01-01", None), 1), (("2026-01-01", 3), 1)])
    assert drained(spool) == [(None, [2, 3, 0, 1])]


def test_a_partition_of_a_row_less_than_a_file_needs_has_none():
    spool = spooled([(("a",), MANY - 1), (("b",), MANY)])
    assert [(p, len(rows)) for p, rows in drained(spool)] == [(None, MANY - 1), (("b",), MANY)]


def test_few_bytes_at_once_give_the_same_rows_in_pieces():
    spool = spooled([(("a",), 150), ((None,), 3)], [(("a",), 50), (("b",), 3)])
    found = drained(spool, at_once=64)
    assert found == [
        (None, [150, 151, 152]),
        (("a",), list(range(150))),
        (("a",), list(range(153, 203))),
        (None, [203, 204, 205]),
    ]
