"""Commands as a user types them, in the environment that `make env` prints."""

import subprocess
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from lakehouse.contracts import CONTRACTS
from lakehouse.settings import Settings
from lakehouse.stack.home import REPOSITORY, Home

Command = Callable[..., subprocess.CompletedProcess[str]]


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
