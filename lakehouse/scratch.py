"""The folder for what runs keep on local disk, emptied of what killed runs have left there."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

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


def empty_scratch() -> None:
    """Empty the scratch folder of what is older than this run, if no other Spark uses it."""
    folder = scratch()
    if not (folder / MARK).exists() or _has_another_driver():
        return
    before = psutil.Process().create_time() - START_SECONDS
    for entry in folder.iterdir():
        if entry.name == MARK or entry.lstat().st_mtime >= before:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _has_another_driver() -> bool:
    """Whether a Spark of somebody runs with these folders: a job, a notebook or a shell."""
    this = psutil.Process()
    # spark-submit starts Python, and Python otherwise starts Spark.
    own = {process.pid for process in (*this.parents(), *this.children(recursive=True))}
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] != "java" or process.pid in own:
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
