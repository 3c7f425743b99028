"""Parquet footer -> the column statistics by which Iceberg skips files: sizes, counts, bounds.

As Iceberg's own writers have it (org.apache.iceberg.parquet.ParquetMetrics, and the appendix
"Single-value serialization" of its specification); reading each footer again in the JVM would take
as long as writing the file.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import pyarrow.parquet as pq

NONE, COUNTS, FULL = "none", "counts", "full"


class ColumnStatsMode(NamedTuple):
    """Id, type and statistics mode of a column, from the table's properties."""

    id: int
    # int, long, timestamptz, decimal(...), string, binary, ...
    type: str
    # NONE, COUNTS, FULL, or how much of a text is kept: truncate(16).
    mode: str


class Metrics(msgspec.Struct, frozen=True):
    """Column statistics of a file, by column id; bounds in bytes."""

    sizes: dict[int, int]
    values: dict[int, int]
    nulls: dict[int, int]
    lower: dict[int, bytes]
    upper: dict[int, bytes]


def metrics_of(metadata: pq.FileMetaData, columns: Mapping[str, ColumnStatsMode]) -> Metrics:
    """`columns` by their names; of one that holds others nothing is kept."""
    sizes: Counter[int] = Counter()
    values: Counter[int] = Counter()
    nulls: Counter[int] = Counter()
    bounds: dict[int, list[Any]] = {}
    unbounded: set[int] = set()
    kept = {name: column for name, column in columns.items() if column.mode != NONE}
    by_id = {column.id: column for column in kept.values()}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if not (column := kept.get(chunk.path_in_schema)):
                continue
            sizes[column.id] += chunk.total_compressed_size
            values[column.id] += chunk.num_values
            found = chunk.statistics
            nulls[column.id] += found.null_count if found else 0
            if found and found.has_min_max:
                bounds.setdefault(column.id, []).extend((found.min_raw, found.max_raw))
            elif not found or found.null_count < chunk.num_values:
                unbounded.add(column.id)
    bounded = {
        id_: raw
        for id_, raw in bounds.items()
        if id_ not in unbounded and by_id[id_].mode != COUNTS
    }
    upper = {id_: _upper(by_id[id_], max(raw)) for id_, raw in bounded.items()}
    return Metrics(
        dict(sizes),
        dict(values),
        dict(nulls),
        {id_: _lower(by_id[id_], min(raw)) for id_, raw in bounded.items()},
        {id_: bound for id_, bound in upper.items() if bound is not None},
    )


def _lower(column: ColumnStatsMode, raw: Any) -> bytes:
    length = _length(column)
    if length is None:
        return _bytes(column.type, raw)
    if column.type == "string":
        return bytes(raw).decode()[:length].encode()
    return bytes(raw)[:length]


def _upper(column: ColumnStatsMode, raw: Any) -> bytes | None:
    """Return an upper bound: of a cut text, the next after all that begin with it, or None."""
    length = _length(column)
    if length is None:
        return _bytes(column.type, raw)
    if column.type == "string":
        text = raw.decode()
        return text.encode() if len(text) <= length else _next_text(text[:length])
    return raw if len(raw) <= length else _next_bytes(raw[:length])


def _length(column: ColumnStatsMode) -> int | None:
    """Return how many characters or bytes of a bound are kept; None if all are."""
    if column.type not in ("string", "binary") or column.mode == FULL:
        return None
    return int(column.mode.removeprefix("truncate(").removesuffix(")"))


def _next_text(text: str) -> bytes | None:
    for end in range(len(text) - 1, -1, -1):
        point = ord(text[end]) + 1
        # Halves of pairs are no characters.
        point = 0xE000 if point == 0xD800 else point
        if point <= 0x10FFFF:
            return (text[:end] + chr(point)).encode()
    return None


def _next_bytes(value: bytes) -> bytes | None:
    for end in range(len(value) - 1, -1, -1):
        if value[end] < 0xFF:
            return value[:end] + bytes([value[end] + 1])
    return None


def _bytes(type_: str, raw: Any) -> bytes:
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, bool):
        return bytes([raw])
    if type_.startswith("decimal"):
        return int(raw).to_bytes(raw.bit_length() // 8 + 1, "big", signed=True)
    return int(raw).to_bytes(4 if type_ in ("int", "date") else 8, "little", signed=True)
