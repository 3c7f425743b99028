"""One Spark session and one running stack for all tests, in a folder of their own."""

import signal
import subprocess
from collections.abc import Callable, Iterator

import postgresql
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from lakehouse.contracts import CONTRACTS
from lakehouse.settings import Settings
from lakehouse.stack import artifacts, class_archive, processes
from lakehouse.stack.home import REPOSITORY, Home, StackSettings
from lakehouse.stack.services import Trino

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def ended_in_order() -> None:
    """A terminated test run stops its services too, and is not interrupted in that."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pytest.exit("terminated", returncode=1)

    signal.signal(signal.SIGTERM, end)


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """After the last test the services are stopped in any case."""
    if nextitem is None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An empty LAKEHOUSE_HOME on free ports; its exports are the environment of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_HOME", str(tmp_path_factory.mktemp("lake house")))
        home = Home(StackSettings())
        home.move_taken_ports(tuple(home.ports))
        artifacts.fetch(home.cache)
        class_archive.make(home, print)
        home.write_spark_conf()
        for name, value in home.environment.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="session")
def spark(home: Home) -> Iterator[SparkSession]:
    session = SparkSession.builder.appName("tests").getOrCreate()
    # Loads the catalog: later, it would be with the settings of whichever session is active then.
    session.sql("SHOW NAMESPACES")
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


@pytest.fixture(scope="session")
def query(stack: Home) -> Iterator:
    """SQL -> rows, on the stack's Trino."""
    with Trino(stack).connect() as connection:

        def run(sql: str) -> list[list]:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()

        yield run


@pytest.fixture(scope="session")
def command(stack: Home) -> Command:
    """Run one from the repository root; fails with its output unless it exits as expected."""

    def run(*words: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def topics(settings: Settings) -> AdminClient:
    """Both topics are there, without the generator's settings; a client to change them."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for contract in CONTRACTS:
        if contract.topic not in admin.list_topics().topics:
            admin.create_topics([NewTopic(contract.topic, 4, 1)])[contract.topic].result()
    return admin


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgresql.Server]:
    """A PostgreSQL server that has the catalog's tables, for one test."""
    if not postgresql.IS_INSTALLED:
        pytest.skip("no PostgreSQL server is installed (`postgres` on PATH)")
    with postgresql.server(tmp_path_factory.mktemp("postgresql")) as server:
        yield server
