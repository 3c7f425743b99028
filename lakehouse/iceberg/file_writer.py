"""Arrow rows <-> Parquet files for an Iceberg table, in tasks; `commit` makes them part of it."""

from collections.abc import Iterable
from contextlib import closing
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.iceberg.column_stats import metrics_of
from lakehouse.iceberg.data_file import DataFile, partition_value
from lakehouse.iceberg.spool import Spool, Values
from lakehouse.iceberg.storage import object_key
from lakehouse.iceberg.write_target import WriteTarget

# Rows of one file for each partition wait in memory, up to so much of them together.
BUFFER_BYTES = 32 * 2**20
# What was encoded is in memory until its file is closed: all open ones together have so much. A
# stream to S3 that is open from the beginning takes 10 MB for itself, however small the file.
OPEN_BYTES = 128 * 2**20
# So many partitions have an open file each; rows of further ones are spooled.
OPEN_FILES = 256
# A dictionary pays where values repeat; for text of its own in each row it is tried in vain.
_REPEATING = ("user_id", "product_id", "event_type", "topic", "partition", "error_class")


class FileWriter:
    """Write rows into new files of one table, one or more for each partition."""

    def __init__(self, layout: WriteTarget):
        self._layout = layout
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0
        # None: rows of small partitions, in a file without one.
        self._open: dict[Values | None, _OpenFile] = {}
        self._spool: Spool | None = None
        self._done: list[DataFile] = []

    def add(self, columns: list[pa.Array]) -> None:
        """Add rows: `columns` are in the order of the layout's schema, and cast to its types."""
        schema = self._layout.schema
        arrays = [
            array if array.type == field.type else array.cast(field.type)
            for array, field in zip(columns, schema, strict=True)
        ]
        rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
        if rows.num_rows:
            self._waiting.append(rows)
            self._bytes += rows.nbytes
        if self._bytes > BUFFER_BYTES:
            self._flush()

    def close(self) -> list[DataFile]:
        self._flush()
        self._close_all()
        if self._spool:
            with closing(self._spool):
                self._write_spooled(self._spool)
        return self._done

    def _flush(self) -> None:
        if self._waiting:
            rows = pa.Table.from_batches(self._waiting)
            self._waiting, self._bytes = [], 0
            self._write(*_by_partition(self._layout, rows))
            if sum(file.size for file in self._open.values()) > OPEN_BYTES:
                self._close_all()

    def _write(self, rows: pa.Table, partitions: list[Values], starts: np.ndarray) -> None:
        counts = np.diff(starts, append=rows.num_rows)
        is_new = np.array([partition not in self._open for partition in partitions])
        if not self._spool and len(self._open) + is_new.sum() > OPEN_FILES:
            self._spool = Spool(self._layout.schema)
        # Once there is a spool, a partition is either in it or in an open file.
        is_spooled = is_new & (self._spool is not None)
        if self._spool and is_spooled.any():
            chosen = rows.filter(pa.array(np.repeat(is_spooled, counts)))
            names = [partitions[number] for number in np.flatnonzero(is_spooled)]
            self._spool.add(chosen, names, counts[is_spooled])
        for number in np.flatnonzero(~is_spooled):
            partition = partitions[number]
            if partition not in self._open:
                self._open[partition] = _OpenFile(self._layout, partition)
            self._open[partition].write(rows.slice(starts[number], counts[number]))

    def _write_spooled(self, spool: Spool) -> None:
        """One file per large partition, one after the other; and one for all small ones."""
        for partition, rows in spool.drain(BUFFER_BYTES):
            if partition not in self._open:
                self._done += [self._open.pop(p).close() for p in list(self._open) if p is not None]
                self._open[partition] = _OpenFile(self._layout, partition)
            self._open[partition].write(rows)
            if self._open[partition].size > OPEN_BYTES:
                self._done.append(self._open.pop(partition).close())
        self._close_all()

    def _close_all(self) -> None:
        self._done += [file.close() for file in self._open.values()]
        self._open = {}


class _OpenFile:
    def __init__(self, layout: WriteTarget, partition: Values | None):
        self._filesystem = layout.filesystem()
        self._partition = partition
        self._columns = layout.columns
        # No folder per partition: its values come from producers, and would have to be escaped,
        # which makes three bytes of one where S3 allows a key 1,024. Iceberg needs no folders.
        self.path = f"{layout.folder}/{uuid4().hex}.parquet"
        self._sink = pa.BufferOutputStream()
        self._metadata: list[pq.FileMetaData] = []
        self._writer = pq.ParquetWriter(
            self._sink,
            layout.schema,
            compression="zstd",
            use_dictionary=[name for name in layout.schema.names if name.endswith(_REPEATING)],
            store_decimal_as_integer=True,
            metadata_collector=self._metadata,
        )

    @property
    def size(self) -> int:
        return int(self._sink.tell())

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=rows.num_rows)

    def close(self) -> DataFile:
        self._writer.close()
        encoded = self._sink.getvalue()
        with self._filesystem.open_output_stream(object_key(self.path)) as stream:
            stream.write(encoded)
        size = encoded.size
        (metadata,) = self._metadata
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        offsets = tuple(_start(group.column(0)) for group in groups)
        metrics = metrics_of(metadata, self._columns)
        return DataFile(self.path, self._partition, metadata.num_rows, size, offsets, metrics)


def _start(chunk: pq.ColumnChunkMetaData) -> int:
    pages = chunk.dictionary_page_offset, chunk.data_page_offset
    return int(min(page for page in pages if page))


def _by_partition(layout: WriteTarget, rows: pa.Table) -> tuple[pa.Table, list[Values], np.ndarray]:
    """The rows partition by partition, each in its order; the partitions; where each begins."""
    if not layout.partitions:
        return rows, [()], np.zeros(1, np.int64)
    keys = [each.of(rows.column(each.column).combine_chunks()) for each in layout.partitions]
    group = np.zeros(rows.num_rows, np.int64)
    for key in keys:
        encoded = key.dictionary_encode("encode")
        group = group * len(encoded.dictionary) + encoded.indices.to_numpy()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    if len(starts) > 1:
        rows = rows.combine_chunks().take(pa.array(order))
    firsts = pa.array(order[starts])
    values = (map(partition_value, key.take(firsts).to_pylist()) for key in keys)
    return rows, list(zip(*values, strict=True)), starts


def remove(layout: WriteTarget, files: Iterable[DataFile]) -> None:
    """Delete files that no table knows."""
    for file in files:
        layout.filesystem().delete_file(object_key(file.path))
