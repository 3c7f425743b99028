"""A failure -> what to do about it, where this machine ran out of something."""

import re
import tempfile

from lakehouse.retry import causes

_REMEDIES = (
    (
        r"No space left on device|Disk quota exceeded|SQLITE_FULL",
        "free space in {folder}, which TMPDIR and spark.local.dir move,",
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
            return advice.format(folder=tempfile.gettempdir())
    return "resolve the cause"
