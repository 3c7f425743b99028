"""Topics of one name, one after the other -> partition numbers that tell them apart.

A topic that is made anew, or that moved to another cluster, counts its offsets from 0 again. So
the first topic of a name is generation 0, each one that is accepted after it is one more, and its
partition p is recorded, in every table and bookmark, as generation * 1,000,000 + p. Rows and
bookmarks of both topics live side by side, a message is still one (partition, offset), and no file
or schema changes. Only where Kafka is spoken to are there partitions of its own numbers.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

# Above the partitions of any topic, and an INT holds 2,147 generations of as many.
PARTITIONS_PER_GENERATION = 1_000_000


def recorded(partition: int, generation: int) -> int:
    """The number that the tables know one of Kafka's partitions by."""
    return generation * PARTITIONS_PER_GENERATION + partition


def in_kafka(partition: int) -> int:
    """The number by which Kafka knows a recorded partition."""
    return partition % PARTITIONS_PER_GENERATION


def generation_of(partition: int) -> int:
    return partition // PARTITIONS_PER_GENERATION


def with_recorded_partitions(messages: DataFrame, generation: int) -> DataFrame:
    """Number the partitions of messages as the tables do."""
    first = recorded(0, generation)
    return messages.withColumn("partition", F.col("partition") + first) if first else messages
