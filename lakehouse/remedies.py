"""A failure -> what to do about it, where this machine ran out of something."""

import re
import tempfile

from lakehouse.retry import causes
from lakehouse.scratch import scratch

_REMEDIES = (
    (
        r"No space left on device|Disk quota exceeded|SQLITE_FULL",
        "free space in {folders}, which SPARK_LOCAL_DIRS and TMPDIR move,",
    ),
    (
        r"Python worker exited unexpectedly|MemoryError|Cannot allocate memory|malloc of size",
        "give Spark's Python workers more memory, of which each takes up to 1 GB, or run fewer at"
        " once (--master local[1,4]),",
    ),
    (r"OutOfMemoryError", "give Spark's JVM more memory (--driver-memory)"),
    (r"Too many open files", "let a process open more files (ulimit -n 1024)"),
)


def remedy(error: BaseException) -> str:
    """An imperative, to be followed by `and`."""
    found = "\n".join(causes(error))
    for pattern, advice in _REMEDIES:
        if re.search(pattern, found):
            # Of Spark and the ingest's driver; and of its tasks in Python.
            folders = dict.fromkeys((str(scratch()), tempfile.gettempdir()))
            return advice.format(folders=" and ".join(folders))
    return "resolve the cause"
