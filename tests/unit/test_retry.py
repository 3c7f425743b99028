"""Which failures may pass, by the words in which they came, and how long they are waited for."""

from contextlib import suppress

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.retry import TransientError, cause, is_transient, may_pass, retrying

S3 = "software.amazon.awssdk.services.s3.model.S3Exception: (Service: S3, Status Code: {}, "
UNABLE = "software.amazon.awssdk.core.exception.SdkClientException: Unable to execute HTTP request:"
REFUSED = "client5.http.HttpHostConnectException: Connect to http://127.0.0.1:1 failed"
NO_NODE = "org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment"
# Each as it came, from a service that was ended, or behind the proxy of the fault tests.
PASSING = {
    "the store answers 503": [S3.format(503)],
    "the store resets": [
        f"{UNABLE} Connection reset",
        "java.net.SocketException: Connection reset",
    ],
    "the store is away": [f"{UNABLE} Connection refused", f"org.apache.hc.{REFUSED}"],
    "SQLite is locked": [
        "org.apache.iceberg.jdbc.UncheckedSQLException: Cannot initialize JDBC catalog",
        "org.sqlite.SQLiteException: [SQLITE_BUSY] The database file is locked",
    ],
    "PostgreSQL is away": [
        "org.apache.iceberg.jdbc.UncheckedSQLException: Failed to connect: jdbc:postgresql:...",
        "org.postgresql.util.PSQLException: Connection to 127.0.0.1:1 refused. (SQL state 08001)",
    ],
    "the REST catalog is away": [
        "org.apache.iceberg.exceptions.RESTException: Error occurred while processing GET request",
        f"org.apache.iceberg.shaded.org.apache.hc.{REFUSED}",
    ],
    "Kafka is away": [f"java.util.concurrent.ExecutionException: {NO_NODE}", NO_NODE],
}
LASTING = {
    "the store denies access": [S3.format(403)],
    "the store denies access to a commit": [
        "org.apache.iceberg.exceptions.CommitStateUnknownException: Access denied",
        S3.format(403),
    ],
    "PostgreSQL has no such user": [
        'org.postgresql.util.PSQLException: FATAL: role "x" does not exist (SQL state 28000)'
    ],
    "a mistake": ["java.lang.IllegalArgumentException: Invalid table name: null or empty"],
    "Spark has no memory, by the state that it gives itself": [
        "org.apache.spark.SparkException: [UNABLE_TO_ACQUIRE_MEMORY] SQLSTATE: 53200"
    ],
}


@pytest.mark.parametrize("found", PASSING.values(), ids=PASSING)
def test_failures_that_may_pass(found):
    assert may_pass(found)


@pytest.mark.parametrize("found", LASTING.values(), ids=LASTING)
def test_failures_that_last(found):
    assert not may_pass(found)


@pytest.mark.parametrize(
    "wrong", [ValueError("java.net.ConnectException"), LakehouseError("a", "b")]
)
def test_what_is_not_known_to_pass_does_not(wrong):
    assert not is_transient(wrong)


def test_the_cause_of_a_failure_in_python_is_its_first_line():
    assert cause(ValueError("plain\nmore")) == "ValueError: plain"


@pytest.fixture
def attempts(monkeypatch):
    """How many are made of a function that fails so often, on a clock that the waits alone move."""
    clock = [0.0]
    monkeypatch.setattr("lakehouse.retry.time.monotonic", lambda: clock[0])

    def count(
        seconds: float, failures: int, makes_progress: bool = False, lasting: float = 0
    ) -> int:
        made = []

        def fail() -> None:
            made.append(1)
            clock[0] += lasting
            if len(made) <= failures:
                raise TransientError("Away", "Wait")

        retries = retrying(seconds, lambda: len(made) if makes_progress else 0, lambda: None)
        retries.sleep = lambda wait: clock.append(clock.pop() + wait)
        with suppress(TransientError):
            retries(fail)
        return len(made)

    return count


def test_a_failure_that_may_pass_is_waited_for(attempts):
    assert attempts(300, failures=3) == 4


def test_the_waits_grow_until_the_ceiling_ends_them(attempts):
    """1 to 2 s, 2 to 3 s, and no 4 s."""
    assert attempts(5.5, failures=9) == 3


def test_a_ceiling_of_zero_is_one_attempt(attempts):
    assert attempts(0, failures=9) == 1


def test_progress_begins_the_time_anew(attempts):
    """Else 1, 2, 4, 8 and 16 s, each with up to 1 s more, and no 30 s."""
    assert attempts(40, failures=20) == 6
    assert attempts(40, failures=20, makes_progress=True) == 21


def test_a_batch_that_takes_longer_than_the_ceiling_is_tried_three_times_more(attempts):
    """Else it would be tried once more: 300 s are over when it fails for the second time."""
    assert attempts(300, failures=9, lasting=1000) == 4
