"""A micro-batch, before anything of it is written: how much it is, from where to where."""

from dataclasses import dataclass

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
