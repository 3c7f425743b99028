"""Decoded messages -> rows appended to raw, staging and ops.dead_letters; letters settled.

All that knows how rows are written and committed stands here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.bookmarks import Frontier, read_frontier, unseen, write_option
from lakehouse.contracts import Contract
from lakehouse.tables import DEAD_LETTERS, Table, raw_table, staging_table

PREFIX_BYTES = 1024


@dataclass(frozen=True)
class Written:
    """What one micro-batch came to, in messages: read = staged + dead + seen before."""

    read: int
    staged: int
    dead: int

    @property
    def seen(self) -> int:
        return self.read - self.staged - self.dead


@dataclass(frozen=True)
class Rejections:
    """How many messages broke the contract in one way, and where one of them is."""

    error_class: str
    count: int
    partition: int
    offset: int


@dataclass(frozen=True)
class Extent:
    """What a micro-batch holds, before anything of it is written."""

    read: int
    ends: Frontier
    rejections: list[Rejections]

    @property
    def rejected(self) -> int:
        return sum(each.count for each in self.rejections)


def write_batch(
    contract: Contract, decoded: DataFrame, check: Callable[[Extent], None], value_limit: int
) -> Written:
    """Append what each table has not seen, each append atomic and with its own bookmark.

    Repeating a batch, whole or in other boundaries, changes nothing: a crash between two
    appends, or before the checkpoint, leaves each table to go on from its own frontier.
    What `check` raises comes before the first append. Values of dead letters are kept whole up
    to `value_limit` bytes.
    """
    decoded = decoded.persist()
    try:
        batch = _extent(decoded)
        check(batch)
        staging = staging_table(contract)
        staged = decoded.where("error_class IS NULL").select(staging.column_names)
        dead = _dead_letters(contract, decoded, value_limit)
        _append(contract, raw_table(contract), _raw(contract, decoded), batch.ends)
        return Written(
            read=batch.read,
            staged=_append(contract, staging, staged, batch.ends).count(),
            dead=_append(contract, DEAD_LETTERS, dead, batch.ends).count() if batch.rejected else 0,
        )
    finally:
        decoded.unpersist()


def _extent(decoded: DataFrame) -> Extent:
    groups = (
        decoded.groupBy("kafka_partition", "error_class")
        .agg(
            F.count("*").alias("messages"),
            F.min("kafka_offset").alias("first"),
            F.max("kafka_offset").alias("last"),
        )
        .orderBy("kafka_partition")
        .collect()
    )
    ends: Frontier = {}
    rejections: dict[str, Rejections] = {}
    for group in groups:
        name, partition = group.error_class, group.kafka_partition
        ends[partition] = max(ends.get(partition, 0), group.last + 1)
        if name:
            known = rejections.get(name, Rejections(name, 0, partition, group.first))
            rejections[name] = replace(known, count=known.count + group.messages)
    return Extent(sum(group.messages for group in groups), ends, list(rejections.values()))


def _raw(contract: Contract, decoded: DataFrame) -> DataFrame:
    return _messages(contract, decoded).select(raw_table(contract).column_names)


def _messages(contract: Contract, decoded: DataFrame) -> DataFrame:
    """With the names and types of the tables that hold whole messages."""
    return decoded.withColumnsRenamed(
        {"kafka_partition": "partition", "kafka_offset": "offset"}
    ).withColumns(
        {
            "topic": F.lit(contract.topic),
            "headers": F.from_json("headers", DEAD_LETTERS.spark_type("headers")),
        }
    )


def _dead_letters(contract: Contract, decoded: DataFrame, value_limit: int) -> DataFrame:
    is_whole = F.octet_length("value") <= value_limit
    return (
        _messages(contract, decoded.where("error_class IS NOT NULL"))
        .withColumns(
            {
                "value_bytes": F.octet_length("value"),
                "value_sha256": F.when(~is_whole, F.sha2("value", 256)),
                "value": F.when(is_whole, F.col("value")).otherwise(
                    F.substring("value", 1, PREFIX_BYTES)
                ),
                "contract_version": F.lit(contract.version),
                "attempt": F.lit(1),
                "replayed_at": F.lit(None).cast("timestamp"),
                "outcome": F.lit(None).cast("string"),
                "reason": F.lit(None).cast("string"),
            }
        )
        .select(DEAD_LETTERS.column_names)
    )


def _append(contract: Contract, table: Table, rows: DataFrame, ends: Frontier) -> DataFrame:
    """Commit the rows that the table has not seen, and return them."""
    frontier = read_frontier(rows.sparkSession, table, contract.topic)
    moved = {partition: max(end, frontier.get(partition, 0)) for partition, end in ends.items()}
    if (frontier | moved) == frontier:
        return rows.limit(0)
    option, bookmark = write_option(contract.topic, frontier | moved)
    fresh = unseen(frontier, rows, table)
    fresh.writeTo(table.identifier).option(option, bookmark).append()
    return fresh


def append_missing(contract: Contract, rows: DataFrame) -> int:
    """Stage the rows whose offsets staging does not hold; returns how many. Once is always."""
    table = staging_table(contract)
    position = [table.partition_column, table.offset_column]
    there = rows.sparkSession.table(table.identifier).select(position)
    missing = rows.select(table.column_names).join(there, position, how="left_anti")
    missing = missing.select(table.column_names).persist()
    try:
        count = missing.count()
        if count:
            missing.writeTo(table.identifier).append()
        return count
    finally:
        missing.unpersist()


def settle(verdicts: DataFrame) -> None:
    """Change open dead letters, found by topic, partition and offset, in all other columns."""
    target = DEAD_LETTERS.identifier
    position = ["topic", "partition", "offset"]
    changed = [name for name in verdicts.columns if name not in position]
    is_same = " AND ".join(f"{target}.{name} = verdicts.{name}" for name in position)
    (
        verdicts.alias("verdicts")
        .mergeInto(target, F.expr(is_same))
        .whenMatched(F.expr(f"{target}.outcome IS NULL"))
        .update({f"{target}.{name}": F.col(f"verdicts.{name}") for name in changed})
        .merge()
    )
