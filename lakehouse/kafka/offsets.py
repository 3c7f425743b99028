"""Offsets of a topic, and what tells one topic from another of the same name."""

from typing import NamedTuple

# Partition -> the first offset that the table has not seen.
Frontier = dict[int, int]


# What Kafka's client says of a topic whose broker gives it no id.
NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"


class Origin(NamedTuple):
    """Cluster id and topic id: a topic made anew under the same name has other offsets."""

    cluster_id: str
    topic_id: str

    def may_be(self, other: "Origin") -> bool:
        """Whether both can be the same topic: an id that a broker did not give tells nothing."""
        ids = {self.topic_id, other.topic_id}
        return self.cluster_id == other.cluster_id and (len(ids) == 1 or NO_TOPIC_ID in ids)


class LastMessage(NamedTuple):
    """The last message that was taken in from a partition."""

    offset: int
    digest: str


class OffsetRange(NamedTuple):
    """Offsets of a partition, as the tables number it, from start to before end."""

    partition: int
    start: int
    end: int
