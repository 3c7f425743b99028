"""What a message says to do where this machine has run out of something."""

import tempfile

import pytest

from lakehouse.remedies import remedy


class TaskError(Exception):
    """A task's failure, with the trace that Spark keeps as its text."""


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (
            TaskError("failed in a task:\nOSError: [Errno 28] No space left on device"),
            "free space in /scratch and /a/folder, which SPARK_LOCAL_DIRS and TMPDIR move,",
        ),
        (
            TaskError("Python worker exited unexpectedly (crashed)"),
            "give Spark's Python workers more memory, of which each takes up to 1 GB, or run fewer"
            " at once (--master local[1,4]),",
        ),
        (ValueError("a mistake"), "resolve the cause"),
    ],
)
def test_the_advice_names_what_ran_out_and_what_moves_it(failure, advice, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/a/folder")
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/scratch,/another")
    assert remedy(failure) == advice
