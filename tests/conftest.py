"""One Spark session and one running stack for all tests, in a folder of their own."""

import signal
from collections.abc import Iterator

import pytest
import trino
from pyspark.sql import SparkSession

from lakehouse.settings import Settings
from lakehouse.stack import artifacts, processes
from lakehouse.stack.home import Home, StackSettings


@pytest.fixture(scope="session", autouse=True)
def ended_in_order() -> None:
    """A terminated test run stops its services too."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=1))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An empty LAKEHOUSE_HOME on free ports; its exports are the environment of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_HOME", str(tmp_path_factory.mktemp("lake house")))
        home = Home(StackSettings())
        home.move_taken_ports(tuple(home.ports))
        artifacts.fetch(home.cache)
        home.write_spark_conf()
        for name, value in home.environment.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="session")
def spark(home: Home) -> Iterator[SparkSession]:
    session = SparkSession.builder.appName("tests").getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def stack(home: Home) -> Iterator[Home]:
    processes.up(home, print)
    yield home
    processes.down(home, print)


@pytest.fixture(scope="session")
def settings(stack: Home) -> Settings:
    return Settings()


@pytest.fixture
def query(stack: Home) -> Iterator:
    """SQL -> rows, on the stack's Trino."""
    with trino.dbapi.connect(
        host=stack.exports["TRINO_HOST"],
        port=int(stack.exports["TRINO_PORT"]),
        user="tests",
        catalog="lake",
        timezone="UTC",
    ) as connection:

        def run(sql: str) -> list[list]:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()

        yield run
