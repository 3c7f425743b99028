"""A micro-batch, before anything of it is written: how much it is, from where to where."""

from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from lakehouse.bookmarks import Frontier


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
    starts: Frontier
    ends: Frontier
    rejections: list[Rejections]

    @property
    def rejected(self) -> int:
        return sum(each.count for each in self.rejections)

    def is_past(self, frontier: Frontier) -> bool:
        """Whether all of it is new to a table that has come this far."""
        return all(start >= frontier.get(partition, 0) for partition, start in self.starts.items())


def extent_of(decoded: DataFrame) -> Extent:
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
    starts: Frontier = {}
    ends: Frontier = {}
    rejections: dict[str, Rejections] = {}
    for group in groups:
        name, partition = group.error_class, group.kafka_partition
        starts[partition] = min(starts.get(partition, group.first), group.first)
        ends[partition] = max(ends.get(partition, 0), group.last + 1)
        if name:
            known = rejections.get(name, Rejections(name, 0, partition, group.first))
            rejections[name] = replace(known, count=known.count + group.messages)
    read = sum(group.messages for group in groups)
    return Extent(read, starts, ends, list(rejections.values()))
