"""A Trino that is killed while it writes marts."""

import json
import subprocess
import time

from expected_marts import assert_as_generated

from lakehouse.ingest import ingest
from lakehouse.stack import processes
from lakehouse.stack.home import REPOSITORY
from lakehouse.stack.services import Trino

TRAFFIC = ("--events=2000", "--products=50", "--users=100", "--days=3", "--seed=3")
BUILD = ("dbt", "run", "--project-dir=dbt", "--profiles-dir=dbt")
WRITTEN = """
    SELECT count(*) FROM system.runtime.queries
    WHERE state = 'RUNNING' AND regexp_like(query, '(?is)(merge into|create .*table).*marts')
"""


def test_marts_are_whole_after_the_build_that_follows_a_killed_trino(
    stack, settings, spark, command, query
):
    command("python", "-m", "generator", *TRAFFIC, "--start=2026-03-01")
    ingest(spark, settings)
    interrupted = subprocess.Popen(BUILD, cwd=REPOSITORY)
    try:
        wait_until_a_mart_is_written(query, interrupted)
        trino = processes.find(Trino(stack))
        trino.kill()
        trino.wait(10)
        processes.up(stack, print)
        interrupted.wait(300)
    finally:
        interrupted.kill()
        interrupted.wait()

    command(*BUILD)
    assert_as_generated(query, json.loads(command("python", "-m", "generator", "expect").stdout))


def wait_until_a_mart_is_written(query, build: subprocess.Popen) -> None:
    while not query(WRITTEN)[0][0]:
        assert build.poll() is None, "the build ended before it could be interrupted"
        time.sleep(0.02)
