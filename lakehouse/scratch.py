"""The folder for what runs keep on local disk, emptied of what killed runs have left there."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import SparkSession

# In a folder that `make env` or `make up` has made. Only such a folder is ever emptied.
MARK = ".emptied-by-runs"
# A Spark that starts makes its first folders this long before it can be seen, at most.
START_SECONDS = 300
_DRIVER = "org.apache.spark.deploy.SparkSubmit"


def make_scratch(folder: Path) -> None:
    """Make a folder that runs may empty."""
    folder.mkdir(exist_ok=True)
    (folder / MARK).touch()


def scratch() -> Path:
    """Return the first of SPARK_LOCAL_DIRS, or the system's folder for temporary files."""
    return Path((os.environ.get("SPARK_LOCAL_DIRS") or tempfile.gettempdir()).split(",")[0])


def empty_scratch(spark: SparkSession) -> None:
    """Empty the scratch folder of what is older than this run, if no other Spark uses it."""
    folder = scratch()
    jvm: Any = spark._jvm
    if not (folder / MARK).exists() or _has_another_driver(
        jvm.java.lang.ProcessHandle.current().pid()
    ):
        return
    started = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getStartTime()
    before = min(started / 1000, time.time()) - START_SECONDS
    for entry in folder.iterdir():
        if entry.name == MARK or entry.lstat().st_mtime >= before:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _has_another_driver(own: int) -> bool:
    """Whether a Spark of somebody runs with these folders: a job, a notebook or a shell."""
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] != "java" or process.pid == own:
                continue
            if _DRIVER in process.cmdline():
                theirs = process.environ().get("SPARK_LOCAL_DIRS")
                if theirs == os.environ.get("SPARK_LOCAL_DIRS"):
                    return True
        except psutil.AccessDenied:
            return True
        except psutil.NoSuchProcess:
            continue
    return False
