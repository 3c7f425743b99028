"""Select, count and list dead letters."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.contracts import CONTRACTS
from lakehouse.messages.outcomes import DISCARDED, DUPLICATE, IS_OPEN, REPLAYED
from lakehouse.tables.definitions import DEAD_LETTERS, raw_table


@dataclass(frozen=True)
class Position:
    """Position of a message in Kafka, written topic/partition/offset."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, text: str) -> "Position":
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True)
class Selection:
    """A filter for dead letters: all given criteria must match; none selects every letter."""

    topic: str | None = None
    error_class: str | None = None
    day: date | None = None
    positions: tuple[Position, ...] = ()

    def of(self, letters: DataFrame) -> DataFrame:
        if self.topic:
            letters = letters.where(F.col("topic") == self.topic)
        if self.error_class:
            letters = letters.where(F.col("error_class") == self.error_class)
        if self.day:
            letters = letters.where(F.to_date("kafka_timestamp") == F.lit(self.day))
        if self.positions:
            letters = letters.where(_is_one_of(self.positions))
        return letters


def _is_one_of(positions: tuple[Position, ...]) -> Column:
    """Spark looks each row up in a hash set, and Iceberg prunes files by the range of offsets."""
    known: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for each in positions:
        known[each.topic].append((each.partition, each.offset))
    is_known = F.lit(False)
    for topic, pairs in known.items():
        listed = ", ".join(f"({partition}, {offset}L)" for partition, offset in pairs)
        is_known |= (F.col("topic") == topic) & F.expr(f"(`partition`, offset) IN ({listed})")
    offsets = [each.offset for each in positions]
    return F.col("offset").between(min(offsets), max(offsets)) & is_known


def dead_letters(spark: SparkSession) -> DataFrame:
    """Return all dead letters, open and settled."""
    return spark.table(DEAD_LETTERS.identifier)


def summary(letters: DataFrame) -> DataFrame:
    """One row per topic, day of the Kafka timestamp, error class and field."""

    def count(condition: str) -> Column:
        return F.count_if(F.expr(condition))

    field = F.split_part("error_detail", F.lit(":"), F.lit(1)).alias("field")
    day = F.to_date("kafka_timestamp").alias("day")
    return (
        letters.groupBy("topic", day, "error_class", field)
        .agg(
            F.count("*").alias("letters"),
            count(IS_OPEN).alias("open"),
            count(f"outcome = '{REPLAYED}'").alias(REPLAYED),
            count(f"outcome = '{DUPLICATE}'").alias(DUPLICATE),
            count(f"outcome = '{DISCARDED}'").alias(DISCARDED),
        )
        .orderBy("topic", "day", F.desc("letters"), "error_class", "field")
    )


def listing(spark: SparkSession, selection: Selection, settled: bool) -> DataFrame:
    """The letters whole, in the order of their coordinates, each with its id."""
    letters = dead_letters(spark).withColumns(
        {
            "id": F.concat_ws("/", "topic", "partition", "offset"),
            "bytes": F.col("value_bytes"),
        }
    )
    return (
        selection.of(letters)
        .where(f"NOT {IS_OPEN}" if settled else IS_OPEN)
        .orderBy("topic", "partition", "offset")
    )


def count_messages(spark: SparkSession) -> dict[str, int]:
    """Count the messages in raw, by topic."""
    messages: Counter[str] = Counter()
    for contract in CONTRACTS:
        files = spark.table(f"{raw_table(contract).identifier}.files").select("record_count")
        messages[contract.topic] += sum(row.record_count for row in files.collect())
    return messages
