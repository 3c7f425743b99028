"""Counts of what tasks read and wrote -> an error before the commit if Kafka delivers more."""

import logging

from pyspark.sql import SparkSession

from lakehouse.contracts import Contract
from lakehouse.errors import LakehouseError
from lakehouse.ingest.task import TaskResult, files_of
from lakehouse.kafka.generations import in_kafka
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.kafka.topics import is_compacted
from lakehouse.messages.delivered import count_delivered
from lakehouse.retry import TransientError
from lakehouse.tables.definitions import DEAD_LETTERS, raw_table, staging_table

_FIX = "Nothing was committed: run this again, and report it if it stays"

log = logging.getLogger("lakehouse.ingest")


def require_complete(
    spark: SparkSession,
    contract: Contract,
    kafka: dict[str, str],
    ranges: list[OffsetRange],
    found: list[TaskResult],
) -> None:
    """Raise unless all messages of the ranges were read, and written or found in the tables."""
    _require_written(contract, found)
    read = {
        each.partition: sum(taken.messages.get(each.partition, 0) for taken in found)
        for each in ranges
    }
    short = [each for each in ranges if read[each.partition] < each.end - each.start]
    if short and not is_compacted(kafka, contract.topic):
        _require_delivered(spark, contract.topic, kafka, short, read)


def _require_written(contract: Contract, found: list[TaskResult]) -> None:
    raw, staging = raw_table(contract), staging_table(contract)
    read = sum(taken.read for taken in found)
    for tables, held in (
        ((raw,), sum(taken.held_in_raw for taken in found)),
        ((staging, DEAD_LETTERS), sum(taken.held_elsewhere for taken in found)),
    ):
        written = sum(file.rows for table in tables for file in files_of(found, table))
        if written + held != read:
            names = " and ".join(table.name for table in tables)
            raise LakehouseError(
                f"{read:,} messages of {contract.topic} were read, of which {names} had {held:,} "
                f"before, and {written:,} were written",
                _FIX,
            )


def _require_delivered(
    spark: SparkSession,
    topic: str,
    kafka: dict[str, str],
    short: list[OffsetRange],
    read: dict[int, int],
) -> None:
    """Offsets hold no message where a transaction ended, or was aborted.

    No setting of a topic says that it has transactions. So what one consumer has not read, another
    is asked for, once.
    """
    asked = {partition: range(start, end) for partition, start, end in short}
    delivered = count_delivered(spark, kafka, topic, asked)
    empty = 0
    for partition, start, end in short:
        if (expected := delivered[partition]) > read[partition]:
            raise TransientError(
                f"Kafka delivers {expected:,} messages of {topic}/{in_kafka(partition)} from "
                f"offset {start} to before {end}, and {read[partition]:,} were read",
                _FIX,
            )
        empty += end - start - read[partition]
    log.info("offsets without a message", extra={"topic": topic, "offsets": empty})
