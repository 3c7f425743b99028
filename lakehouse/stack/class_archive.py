"""The classes of Spark and Iceberg as a JVM needs them, kept: a third of what a job's start costs.

Java's class data sharing (JEP 350). The archive fits one JDK and the jars in one place, so it is
kept in the virtual environment that Spark is installed in, and made there once.
"""

import hashlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark

from lakehouse.stack.java import find_java_home

if TYPE_CHECKING:
    from lakehouse.stack.home import Home

TRAINING = Path(__file__).with_name("training.py")


def archive_of(jars: Path, java_home: Path) -> Path:
    """Return the path of the archive, which may not exist yet."""
    java = (java_home / "release").read_text(errors="replace")
    fits = f"{jars} {pyspark.__file__} {pyspark.__version__} {java}"
    return Path(sys.prefix) / f"spark-{hashlib.sha256(fits.encode()).hexdigest()[:12]}.jsa"


def options(archive: Path) -> str:
    """JVM options that use the archive; the JVM warns about a stale one and ignores it."""
    if not archive.exists():
        return ""
    return f'-XX:SharedArchiveFile="{archive}" -Xlog:disable -Xlog:all=warning:stderr'


def make(home: "Home", report: Callable[[str], None]) -> None:
    """Make the archive if there is none; the configuration that is written next names it.

    Jobs run without it too, so this never fails.
    """
    if home.class_archive.exists() or not _can_be_made():
        return
    report("preparing the start of Spark's jobs, once: about half a minute")
    home.write_spark_conf()
    try:
        _make(home)
    except (OSError, subprocess.CalledProcessError) as error:
        # spark-submit puts Python's stderr on stdout.
        said = getattr(error, "stdout", "").strip()[-300:]
        report(f"it failed, and they will start more slowly: {error} {said}")


def _can_be_made() -> bool:
    """Return whether Java has the base archive that ours extends; some distributions lack it."""
    return (find_java_home() / "lib" / "server" / "classes.jsa").exists()


def _make(home: "Home") -> None:
    archive = home.class_archive
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="spark-") as folder:
        made = Path(folder) / archive.name
        java = f"-XX:ArchiveClassesAtExit={shlex.quote(str(made))}"
        subprocess.run(
            ["spark-submit", TRAINING, folder],
            env=home.environment | {"SPARK_SUBMIT_OPTS": java},
            capture_output=True,
            text=True,
            check=True,
        )
        for other in archive.parent.glob("spark-*.jsa"):
            other.unlink()
        made.replace(archive)
