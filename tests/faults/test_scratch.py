"""What killed runs leave on local disk."""

import os
import subprocess
import sys
import time
from pathlib import Path

from broker import EVENT
from kills import Ingest

from lakehouse.scratch import MARK, START_SECONDS


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name != MARK)


def shell_of(lakehouse) -> subprocess.Popen:
    """Start a session that is no job of ours, and ends at a line of input."""
    made = (
        "from pyspark.sql import SparkSession as S; S.builder.getOrCreate(); print('up'); input()"
    )
    shell = subprocess.Popen(
        [sys.executable, "-u", "-c", made],
        env=lakehouse.home.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while "up" not in shell.stdout.readline():
        assert shell.poll() is None
    return shell


def test_the_next_run_removes_what_a_killed_one_has_left_and_leaves_a_living_ones(lakehouse):
    scratch = lakehouse.home.path / "scratch"
    lakehouse.produce(EVENT.format(id="e1"), key="u")
    killed = Ingest(lakehouse)
    assert killed.reach(lambda run: run.commits("raw.user_events") >= 1), killed.job.printed
    killed.kill()
    remains = left(scratch)
    assert any(name.startswith("ingest-") for name in remains)
    assert any(name.startswith("blockmgr-") for name in remains)
    # Younger ones may be those of a run that has only just begun.
    lakehouse.run("jobs/expire.py")
    assert left(scratch) == remains

    old = time.time() - START_SECONDS - 60
    for name in remains:
        os.utime(scratch / name, (old, old))
    shell = shell_of(lakehouse)
    try:
        lakehouse.run("jobs/expire.py")
        # Somebody's notebook may be as old as what is left.
        assert set(remains) <= set(left(scratch))
    finally:
        shell.communicate("\n", timeout=60)
    lakehouse.ingest_when_free()
    lakehouse.run("jobs/expire.py")
    assert left(scratch) == []
