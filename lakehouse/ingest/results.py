"""A micro-batch, before anything of it is committed: how much it is, from where to where."""

from dataclasses import dataclass, field

from lakehouse.kafka.offsets import Frontier, LastMessage


@dataclass(frozen=True)
class Rejections:
    """How many messages broke the contract in one way, and where one of them is."""

    error_class: str
    count: int
    partition: int
    offset: int


@dataclass(frozen=True)
class Extent:
    """What a micro-batch holds, before anything of it is committed."""

    read: int
    # Bytes of keys, values and headers.
    size: int
    ends: Frontier
    rejections: list[Rejections]
    last_messages: dict[int, LastMessage] = field(default_factory=dict)
