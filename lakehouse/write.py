"""A decoded micro-batch -> one append to the staging table, one to ops.dead_letters.

All that knows how rows are written and committed stands here.
"""

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.bookmarks import Frontier, read_frontier, unseen, write_option
from lakehouse.contracts import Contract
from lakehouse.tables import DEAD_LETTERS, Table, staging_table


@dataclass(frozen=True)
class Written:
    """What one micro-batch came to, in messages: read = staged + dead + seen before."""

    read: int
    staged: int
    dead: int

    @property
    def seen(self) -> int:
        return self.read - self.staged - self.dead


def write_batch(contract: Contract, decoded: DataFrame) -> Written:
    """Append what each table has not seen, each append atomic and with its own bookmark.

    Repeating a batch, whole or in other boundaries, changes nothing: a crash between the two
    appends, or before the checkpoint, leaves each table to go on from its own frontier.
    """
    decoded = decoded.persist()
    try:
        staged = decoded.where("error_class IS NULL").select(staging_table(contract).column_names)
        dead = _dead_letters(contract, decoded)
        batch = _extent(decoded)
        return Written(
            read=batch.read,
            staged=_append(contract, staging_table(contract), staged, batch.ends),
            dead=_append(contract, DEAD_LETTERS, dead, batch.ends) if batch.rejected else 0,
        )
    finally:
        decoded.unpersist()


@dataclass(frozen=True)
class _Extent:
    read: int
    rejected: int
    ends: Frontier


def _extent(decoded: DataFrame) -> _Extent:
    partitions = (
        decoded.groupBy("kafka_partition")
        .agg(
            F.count("*").alias("read"),
            F.count("error_class").alias("rejected"),
            (F.max("kafka_offset") + 1).alias("end"),
        )
        .collect()
    )
    return _Extent(
        read=sum(row["read"] for row in partitions),
        rejected=sum(row["rejected"] for row in partitions),
        ends={row["kafka_partition"]: row["end"] for row in partitions},
    )


def _dead_letters(contract: Contract, decoded: DataFrame) -> DataFrame:
    return (
        decoded.where("error_class IS NOT NULL")
        .withColumnsRenamed({"kafka_partition": "partition", "kafka_offset": "offset"})
        .withColumns(
            {
                "topic": F.lit(contract.topic),
                "headers": F.from_json("headers", DEAD_LETTERS.spark_type("headers")),
                "contract_version": F.lit(contract.version),
            }
        )
        .select(DEAD_LETTERS.column_names)
    )


def _append(contract: Contract, table: Table, rows: DataFrame, ends: Frontier) -> int:
    """Commit the rows that the table has not seen; returns how many."""
    frontier = read_frontier(rows.sparkSession, table, contract.topic)
    moved = {partition: max(end, frontier.get(partition, 0)) for partition, end in ends.items()}
    if (frontier | moved) == frontier:
        return 0
    option, bookmark = write_option(contract.topic, frontier | moved)
    fresh = unseen(frontier, rows, table)
    fresh.writeTo(table.identifier).option(option, bookmark).append()
    return fresh.count()
