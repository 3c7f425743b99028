"""make up, down, status on the running stack of the tests."""

import os
import signal

import psutil
import pytest

from lakehouse.stack import processes


@pytest.fixture
def kafka(stack):
    return processes.services(stack)[0]


def test_spark_starts_with_the_classes_that_were_kept(stack, spark):
    jvm = psutil.Process(spark._jvm.java.lang.ProcessHandle.current().pid())
    assert str(stack.class_archive) in {mapped.path for mapped in jvm.memory_maps()}


def test_a_second_up_is_a_no_op(stack):
    before = [processes.status(service).pid for service in processes.services(stack)]
    assert processes.up(stack, print) is False
    assert [processes.status(service).pid for service in processes.services(stack)] == before


def test_status_shows_state_memory_and_port(command):
    shown = command("python", "-m", "lakehouse.stack", "status").stdout
    for name in ("kafka", "s3", "trino"):
        (line,) = (line for line in shown.splitlines() if line.split()[:1] == [name])
        assert "running" in line
        assert "MB" in line


def test_a_crashed_service_is_reported_with_its_log_and_comes_back(stack, kafka):
    process = processes.find(kafka)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert processes.status(kafka).state == "crashed"

    lines: list[str] = []
    assert processes.up(stack, lines.append) is True
    assert any(line.startswith("kafka had crashed; the end of") for line in lines)
    assert processes.status(kafka).state == "running"


def test_nothing_listens_beyond_this_machine(stack):
    for service in processes.services(stack):
        process = processes.find(service)
        addresses = {c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"}
        assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
        assert addresses
