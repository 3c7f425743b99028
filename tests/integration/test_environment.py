"""Commands in a shell that other tools have left their variables in, or that has next to none."""

import os
import re
import subprocess

import pytest

from lakehouse.stack.home import FOREIGN, REPOSITORY

# An address that nobody has.
ELSEWHERE = "http://127.0.0.9:9"
# A file that Python can't import, an address that answers nobody, a program that there is not.
HOSTILE = {
    "HADOOP_CONF_DIR": "{other}",
    "YARN_CONF_DIR": "{other}",
    "PYTHONPATH": "{other}",
    "PYTHONHOME": "/nowhere",
    "PYTHONWARNINGS": "error",
    "JAVA_TOOL_OPTIONS": "-Dhttp.proxyHost=127.0.0.9 -Dhttp.proxyPort=9",
    "JDK_JAVA_OPTIONS": "-Dhttp.proxyHost=127.0.0.9 -Dhttp.proxyPort=9",
    "_JAVA_OPTIONS": "-Xmx100m",
    "SPARK_HOME": "/nowhere",
    "SPARK_CONF_DIR": "/nowhere",
    "SPARK_LOCAL_IP": "192.0.2.1",
    "SPARK_REMOTE": "sc://127.0.0.9",
    "SPARK_API_MODE": "connect",
    "SPARK_LOCAL_DIRS": "/nowhere",
    "PYSPARK_PYTHON": "/nowhere",
    "PYSPARK_DRIVER_PYTHON": "jupyter",
    "PYSPARK_DRIVER_PYTHON_OPTS": "notebook",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    "AWS_PROFILE": "nobody",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_ENDPOINT_URL": ELSEWHERE,
    "AWS_SESSION_TOKEN": "of somebody else",
    "AWS_REGION": "nowhere-1",
    "KAFKA_OPTS": "-Xmx1m",
    "DBT_PROFILE": "another",
    "DBT_TARGET": "another",
    "DBT_PROFILES_DIR": "/nowhere",
    "TRINO_HOST": "127.0.0.9",
    "http_proxy": ELSEWHERE,
    "HTTPS_PROXY": ELSEWHERE,
    "ALL_PROXY": ELSEWHERE,
}
SAME = ("HOME", "LAKEHOUSE_HOME", "LAKEHOUSE_CACHE", "XDG_CACHE_HOME", "JAVA_HOME")
COMMANDS = """
eval "$(make -s env)" &&
spark-submit jobs/ingest.py &&
dbt show --inline "SELECT 40 + 2 AS answer" --target-path "$TARGET" --log-path "$TARGET" &&
python -m lakehouse.stack status
"""


def shell(commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Bash with no more than these, and what says where the tests' own stack is."""
    kept = {name: os.environ[name] for name in SAME if name in os.environ}
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", **kept, **variables}
    words = ["bash", "-c", commands]
    return subprocess.run(words, cwd=REPOSITORY, env=variables, capture_output=True, text=True)


def test_variables_of_other_tools_change_nothing(topics, tmp_path):
    other = tmp_path / "other"
    (other / "pyspark").mkdir(parents=True)
    (other / "pyspark" / "__init__.py").write_text("raise ImportError('the other Spark')\n")
    (other / "core-site.xml").write_text(
        "<configuration><property><name>fs.defaultFS</name>"
        "<value>hdfs://127.0.0.9:9</value></property></configuration>"
    )
    hostile = {name: value.format(other=other) for name, value in HOSTILE.items()}
    done = shell(COMMANDS, TARGET=str(tmp_path / "target"), **hostile)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(r"\| +42 \|", done.stdout)
    assert "user-events" in done.stdout


@pytest.mark.parametrize("language", [{}, {"LC_ALL": "C"}], ids=["none", "C"])
def test_paths_that_are_not_ascii_need_no_locale(home, tmp_path, language):
    """As under cron: Spark writes a catalog, tables and a checkpoint below such a path."""
    place = tmp_path / "läger 仓库"
    folder = place / "größe"
    folder.mkdir(parents=True)
    train = f'eval "$(make -s env)" && spark-submit lakehouse/stack/training.py "{folder}"'
    done = shell(train, **language, LAKEHOUSE_HOME=str(place))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert list((folder / "warehouse").rglob("*.parquet"))


def test_too_few_files_are_refused_in_one_line(home):
    done = shell("ulimit -n 256; make -s env")
    error, *rest = done.stderr.splitlines()
    assert error.startswith("error: This shell lets a process open 256 files, and Spark needs 1024")
    assert done.stdout == ""
    assert all(line.startswith("make: ") for line in rest)


def test_what_is_unset_for_our_commands_is_unset_for_those_of_the_user(home):
    printed = shell("make -s env").stdout
    assert printed.splitlines()[0] == f"unset {' '.join(FOREIGN)}"
