"""The folder for what runs keep on local disk, emptied of what killed runs have left there."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

# In a folder that `make env` or `make up` has made. Only such a folder is ever emptied.
LOCK = ".in-use-by-runs"
# A run makes its first folders this long before it holds the lock, at most.
START_SECONDS = 300


def make_scratch(folder: Path) -> None:
    """Make a folder that runs may empty."""
    folder.mkdir(exist_ok=True)
    (folder / LOCK).touch()


def scratch() -> Path:
    """Return the first of SPARK_LOCAL_DIRS, or the system's folder for temporary files."""
    return Path((os.environ.get("SPARK_LOCAL_DIRS") or tempfile.gettempdir()).split(",")[0])


@contextmanager
def scratch_in_use(spark: SparkSession) -> Iterator[None]:
    """Empty the scratch folder if no other run uses it, then mark it as used until the end."""
    folder = scratch()
    if not (folder / LOCK).exists():
        yield
        return
    jvm: Any = spark._jvm
    started = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getStartTime()
    with (folder / LOCK).open("a") as lock:
        # Two that start at once take turns here: to make an exclusive lock a shared one, fcntl
        # gives it up for a moment.
        with (folder / f"{LOCK}.turn").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _empty(folder, before=min(started / 1000, time.time()) - START_SECONDS)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _empty(folder: Path, before: float) -> None:
    """Remove what was changed last before this time, in seconds since 1970."""
    for entry in folder.iterdir():
        if entry.name.startswith(LOCK) or entry.lstat().st_mtime >= before:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
