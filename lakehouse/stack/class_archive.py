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

if TYPE_CHECKING:
    from lakehouse.stack.home import Home

TRAINING = Path(__file__).with_name("training.py")


def archive_of(jars: Path, java_home: Path) -> Path:
    """Where it is, or will be."""
    fits = f"{jars} {pyspark.__version__} {(java_home / 'release').read_text(errors='replace')}"
    return Path(sys.prefix) / f"spark-{hashlib.sha256(fits.encode()).hexdigest()[:12]}.jsa"


def options(archive: Path) -> str:
    """Of Java; one that does not fit is named on stderr, and left alone."""
    if not archive.exists():
        return ""
    return f'-XX:SharedArchiveFile="{archive}" -Xlog:disable -Xlog:all=warning:stderr'


def make(home: "Home", report: Callable[[str], None]) -> None:
    """Where there is none yet. Without it jobs run too, so it never fails."""
    archive = home.class_archive
    if archive.exists():
        return
    report("preparing the start of Spark's jobs, once: about half a minute")
    home.write_spark_conf()
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="spark-") as folder:
        made = Path(folder) / archive.name
        done = subprocess.run(
            ["spark-submit", TRAINING, folder],
            env=home.environment
            | {"SPARK_SUBMIT_OPTS": f"-XX:ArchiveClassesAtExit={shlex.quote(str(made))}"},
            capture_output=True,
            text=True,
        )
        if done.returncode or not made.exists():
            report(f"Spark's jobs will start more slowly: {done.stderr.strip()[-300:]}")
            return
        for other in archive.parent.glob("spark-*.jsa"):
            other.unlink()
        made.replace(archive)
    home.write_spark_conf()
