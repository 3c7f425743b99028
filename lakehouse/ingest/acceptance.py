"""What a person has accepted by name, as arguments of jobs/ingest.py: `--accept-gap TOPIC/P:A-B`.

A name says exactly what is accepted. So a command that stays in a crontab accepts what was missing
when it was written, once, and nothing that is missing later.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

COMMAND = "spark-submit jobs/ingest.py"


class NamedGap(NamedTuple):
    """Offsets from `first` to `last`, both included, that Kafka no longer holds."""

    topic: str
    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}:{self.first}-{self.last}"

    @classmethod
    def of(cls, text: str) -> "NamedGap":
        if not (found := re.fullmatch(r"([\w.-]+)/(\d+):(\d+)-(\d+)", text)):
            raise ValueError(f"{text!r} is not TOPIC/PARTITION:FIRST-LAST")
        topic, *numbers = found.groups()
        return cls(topic, *map(int, numbers))


class NamedTopic(NamedTuple):
    """A topic that takes the place of another of its name."""

    topic: str
    # How many topics of that name came before it.
    generation: int
    topic_id: str

    def __str__(self) -> str:
        return f"{self.topic}:{self.generation}:{self.topic_id}"

    @classmethod
    def of(cls, text: str) -> "NamedTopic":
        if not (found := re.fullmatch(r"([\w.-]+):(\d+):([\w-]+)", text)):
            raise ValueError(f"{text!r} is not TOPIC:NUMBER:ID")
        topic, generation, topic_id = found.groups()
        return cls(topic, int(generation), topic_id)


@dataclass(frozen=True)
class Acceptance:
    """Gaps and topics that are accepted, and the reason for it."""

    gaps: tuple[NamedGap, ...] = ()
    topics: tuple[NamedTopic, ...] = ()
    why: str = ""


NOTHING = Acceptance()


def command(gaps: Iterable[NamedGap], topics: Iterable[NamedTopic]) -> str:
    """The command that accepts them, to be pasted into a shell and given its reason."""
    words = [COMMAND]
    for option, names in (("--accept-gap", gaps), ("--accept-new-topic", topics)):
        if texts := [str(name) for name in names]:
            words += [word for text in texts for word in (option, text)]
    return " ".join([*words, '--why "..."'])
