"""What a task, a micro-batch and a run of the ingest have come to, in numbers."""

from dataclasses import dataclass, field

from lakehouse.kafka.offsets import Frontier, LastMessage
from lakehouse.kafka.open_transactions import Waiting


@dataclass(frozen=True)
class RejectionCount:
    """How many messages broke the contract in one way, and where one of them is."""

    error_class: str
    count: int
    partition: int
    offset: int


@dataclass(frozen=True)
class BatchSummary:
    """Summary of a micro-batch that is written, but not committed: messages, ends, rejections."""

    read: int
    # Bytes of keys, values and headers.
    size: int
    ends: Frontier
    rejections: list[RejectionCount]
    last_messages: dict[int, LastMessage] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchResult:
    """Counts of a micro-batch: read = staged + duplicate + dead + already in the tables."""

    read: int
    staged: int
    duplicate: int
    dead: int
    # Appends that were done again, because another commit to the table came first.
    appended_again: int = 0

    @property
    def seen(self) -> int:
        return self.read - self.staged - self.duplicate - self.dead


@dataclass
class TopicReport:
    """Results of a run for one topic, batch by batch."""

    topic: str
    batches: list[BatchResult] = field(default_factory=list)
    # How often the run was begun again after a failure.
    retries: int = 0
    # What is not read until a transaction ends.
    waiting: list[Waiting] = field(default_factory=list)

    @property
    def total(self) -> BatchResult:
        return BatchResult(
            read=sum(batch.read for batch in self.batches),
            staged=sum(batch.staged for batch in self.batches),
            duplicate=sum(batch.duplicate for batch in self.batches),
            dead=sum(batch.dead for batch in self.batches),
            appended_again=sum(batch.appended_again for batch in self.batches),
        )
