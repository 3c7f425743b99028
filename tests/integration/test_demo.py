"""make demo leaves nothing behind when it is ended in the middle."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from lakehouse.stack.home import REPOSITORY


def processes_of(home: Path) -> list[str]:
    """Command lines of the live processes that have to do with this home."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if environment.get("LAKEHOUSE_HOME") == str(home):
            found.append(" ".join(process.info["cmdline"] or []))
    return found


def test_a_terminated_demo_leaves_no_process_and_no_port(tmp_path):
    home = tmp_path / "demo home"
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "lakehouse.demo", "--events=2000"],
        cwd=REPOSITORY,
        env={**os.environ, "LAKEHOUSE_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in demo.stdout:
        if line.startswith("generate events"):
            break
    time.sleep(5)  # in the middle of spark-submit
    assert len(processes_of(home)) > 3

    demo.send_signal(signal.SIGTERM)
    rest, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1
    assert "trino stopped" in rest

    deadline = time.monotonic() + 20
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []
    for port in json.loads((home / "stack.json").read_text())["ports"].values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
