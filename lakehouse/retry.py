"""A failure -> whether it may pass; attempts until it has, or a ceiling is reached."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext
from pyspark.errors.exceptions.captured import CapturedException
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from lakehouse.errors import LakehouseError

LONGEST_WAIT_SECONDS = 30
_TRANSIENT = re.compile(
    # The network, from whichever client. Not EOFException: it also stands for a damaged file.
    r"\bjava\.net\.(\w*Connect|Socket|SocketTimeout|NoRouteToHost|UnknownHost)Exception\b"
    r"|\bjava\.util\.concurrent\.TimeoutException\b"
    r"|\.(NoHttpResponse|ConnectionClosed|ConnectTimeout|HttpHostConnect"
    r"|ConnectionPoolTimeout|TruncatedChunk)Exception\b"
    # The store.
    r"|\bApiCall(Attempt)?TimeoutException\b|\bStatus Code: (408|409|429|500|502|503|504)\b"
    # The same, as Arrow's client for it says it within a task; and Kafka, as `consume` does.
    r"|\bAWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE"
    r"|REQUEST_TIMEOUT|THROTTLING)\b|\bHTTP status (408|409|429|500|502|503|504)\b"
    r"|\blakehouse\.retry\.TransientError\b"
    # Kafka: the subclasses of RetriableException that a broker which comes and goes gives.
    r"|\.kafka\.common\.errors\.(Timeout|Network|Disconnect|BrokerNotAvailable|Coordinator\w+"
    r"|NotCoordinator|LeaderNotAvailable|NotLeaderOrFollower|OffsetNotAvailable"
    r"|FencedLeaderEpoch|UnknownLeaderEpoch|UnknownTopicOrPartition|KafkaStorage)Exception\b"
    # A catalog's database: no connection, no resources, an operator's intervention; SQLite's lock.
    r"|\bjava\.sql\.SQL(Transient\w*|Recoverable|NonTransientConnection|Timeout)Exception\b"
    r"|\bSQL state (08|53|57)\w{3}\b|\[SQLITE_(BUSY|LOCKED)"
    # A catalog, and a commit that lost to another, or whose answer was lost.
    r"|\.iceberg\.exceptions\.(CommitFailed|CommitStateUnknown|ServiceFailure"
    r"|ServiceUnavailable)Exception\b"
)
# Store responses that will not change on retry, even when wrapped in CommitStateUnknown.
_PERMANENT = re.compile(r"\bStatus Code: 4(?!08|09|29)\d\d\b")

# A line of a trace that says what went wrong, in Java or, in a task of Python, at its end.
_FAILURE = re.compile(r"Caused by: |(\w+\.)*\w*(Error|Exception)\b.*: ")

log = logging.getLogger("lakehouse.retry")


class TransientError(LakehouseError):
    """Resolved by a user if it is the first of a run, and perhaps by time if it is not."""


def is_transient(error: BaseException) -> bool:
    """Whether the same again may succeed."""
    if isinstance(error, LakehouseError):
        return isinstance(error, TransientError)
    return isinstance(error, Py4JJavaError | CapturedException) and may_pass(causes(error))


def may_pass(found: list[str]) -> bool:
    """Return whether a failure with these causes is known to be transient."""
    text = "\n".join(found)
    return bool(_TRANSIENT.search(text)) and not _PERMANENT.search(text)


def causes(error: BaseException) -> list[str]:
    """List the causes of an error, outermost first, each in one line."""
    if isinstance(error, Py4JJavaError):
        return list(_java_causes(error.java_exception))
    origin = error._origin if isinstance(error, CapturedException) else None
    if origin:
        return list(_java_causes(origin))
    # Of a task in Python, Spark keeps the trace as text.
    first, *others = _lines(str(error)) or [""]
    return [f"{type(error).__name__}: {first}", *filter(_FAILURE.match, others)]


def cause(error: BaseException) -> str:
    """Return the innermost error that says something, in one line."""
    found = causes(error)
    return next((line for line in reversed(found) if ": " in line), found[-1])


def _java_causes(throwable: Any) -> Iterator[str]:
    try:
        while throwable is not None:
            first, *others = _lines(throwable.toString())
            # The drivers' exceptions are plain; what they mean is in the state alone.
            is_sql = is_instance_of(SparkContext._gateway, throwable, "java.sql.SQLException")
            state = throwable.getSQLState() if is_sql else None
            yield f"{first} (SQL state {state})" if state else first
            # A task's failure may be told in the message of the job's alone.
            yield from (line for line in others if _FAILURE.match(line))
            throwable = throwable.getCause()
    except Py4JError as gone:
        yield f"and then {gone}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


# A batch of gigabytes that fails again takes minutes each time.
LEAST_ATTEMPTS = 3


class _Ceiling:
    """True once nothing was achieved for `seconds` since it first failed.

    And for no less than three times as long as the last attempt took; with 0 seconds at once.
    """

    def __init__(self, seconds: float, progress: Callable[[], int]):
        self._seconds = seconds
        self._progress = progress
        self._made = -1
        self._since = 0.0
        self._began = time.monotonic()

    def __call__(self, state: RetryCallState) -> bool:
        now = time.monotonic()
        if (made := self._progress()) > self._made:
            self._made, self._since = made, now
        next_begins = now + state.upcoming_sleep
        took, self._began = now - self._began, next_begins
        ceiling = max(self._seconds, LEAST_ATTEMPTS * took) if self._seconds else 0
        return next_begins - self._since > ceiling


def retrying(seconds: float, progress: Callable[[], int], count: Callable[[], None]) -> Retrying:
    """Attempts with growing waits, until `seconds` have gone by without progress; 0 is one attempt.

    What is no transient failure ends them, as it is; `count` is called before each that follows.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        count()
        log.warning(
            "failed, perhaps in passing; trying again",
            extra={
                "attempt": state.attempt_number,
                "wait_seconds": round(state.upcoming_sleep, 1),
                "cause": cause(error) if error else None,
            },
        )

    return Retrying(
        retry=retry_if_exception(is_transient),
        stop=_Ceiling(seconds, progress),
        wait=wait_exponential_jitter(initial=1, max=LONGEST_WAIT_SECONDS),
        before_sleep=before_sleep,
        reraise=True,
    )
