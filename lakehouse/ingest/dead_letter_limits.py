"""The share of messages that break their contract -> a warning, or the end of the run."""

import logging
from collections import Counter

from lakehouse.contracts.rejection import HEADERS_UNREADABLE, UNEXPECTED
from lakehouse.errors import LakehouseError
from lakehouse.ingest.results import BatchSummary, RejectionCount

SHOWN_CLASSES = 3

log = logging.getLogger("lakehouse.ingest")


class DeadLetterLimits:
    """Limits for one topic in one run, as shares of the messages that the run has read so far."""

    def __init__(self, topic: str, warn: float, stop: float | None):
        self._topic = topic
        self._warn = warn
        self._stop = stop
        self._read = 0
        self._rejected: Counter[str] = Counter()
        self._examples: dict[str, RejectionCount] = {}

    @property
    def share(self) -> float:
        return self._rejected.total() / self._read if self._read else 0.0

    def check(self, batch: BatchSummary) -> None:
        """Count a batch; LakehouseError if with it the run is above `stop`."""
        self._read += batch.read
        for each in batch.rejections:
            self._rejected[each.error_class] += each.count
            self._examples.setdefault(each.error_class, each)
            if each.error_class in (HEADERS_UNREADABLE, UNEXPECTED):
                log.warning(
                    "messages that could not be judged are dead letters; please report them",
                    extra={
                        "topic": self._topic,
                        "class": each.error_class,
                        "messages": each.count,
                        "example": f"{self._topic}/{each.partition}/{each.offset}",
                    },
                )
        if self._stop is not None and self.share > self._stop:
            raise LakehouseError(
                f"{self._topic}: {self._found}, more than DEAD_LETTER_STOP={self._stop} allows; "
                f"this batch was not committed. Most often {self._most_often}",
                "Repair the producer or the contract, or raise the limit, and run this again",
            )
        if self.share > self._warn:
            log.warning(
                f"dead letters above DEAD_LETTER_WARN={self._warn}",
                extra={
                    "topic": self._topic,
                    "share": round(self.share, 6),
                    "dead": self._rejected.total(),
                    "read": self._read,
                    "most_often": self._most_often,
                },
            )

    @property
    def _found(self) -> str:
        return (
            f"{self._rejected.total():,} of {self._read:,} messages of this run "
            f"({self.share:.1%}) break the contract"
        )

    @property
    def _most_often(self) -> str:
        return ", ".join(
            f"{name} {count:,} times (for example {self._topic}/{each.partition}/{each.offset})"
            for name, count in self._rejected.most_common(SHOWN_CLASSES)
            for each in [self._examples[name]]
        )
