"""A file of rows that is written, and not yet part of its table."""

import msgspec


class DataFile(msgspec.Struct, frozen=True):
    """Parquet, of one partition."""

    # s3://...
    path: str
    # The values of its partition, one per field of the table's partitioning.
    partition: tuple[str | None, ...]
    rows: int
    size: int
    # Where each row group begins.
    split_offsets: tuple[int, ...]
