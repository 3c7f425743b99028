"""Rules that hold for the tree as a whole."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from lakehouse.contracts import RULES

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())


def imports_of(package: str) -> set[str]:
    modules = set()
    for file in (REPOSITORY / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
            elif isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
    return modules


def test_imports_point_one_way():
    ours = ("jobs", "generator", "tests")
    assert not [m for m in imports_of("lakehouse") if m.split(".")[0] in ours]
    assert {m for m in imports_of("generator") if m.startswith("lakehouse")} == {
        "lakehouse.contracts"
    }
    assert not [m for m in imports_of("jobs") if m.split(".")[0] == "jobs"]


def test_the_readme_names_every_target_and_no_other():
    assert set(re.findall(r"\bmake (?:-s )?([a-z]+(?:-[a-z]+)*)", README)) == TARGETS


@pytest.mark.parametrize("script", sorted(re.findall(r"jobs/\w+\.py", README)))
def test_the_jobs_of_the_readme_exist_and_say_how_they_are_called(script):
    assert f"spark-submit {script}" in (REPOSITORY / script).read_text()


def test_the_paths_of_the_readme_exist():
    for path in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (REPOSITORY / path).exists(), path


def test_the_documented_reasons_of_a_dead_letter_are_those_of_the_decoder():
    documented = (REPOSITORY / "docs/contracts/README.md").read_text()
    rules = re.findall(r"^\| ([A-Z0-9_]+) \| (.*) \|$", documented, re.MULTILINE)
    assert rules == list(RULES.items())


def test_the_lock_pins_hashes_and_names_no_address():
    lock = (REPOSITORY / "requirements.lock").read_text()
    packages = re.findall(r"^([\w.-]+)(?:\[.*\])?==", lock, re.MULTILINE)
    assert len(packages) > 50
    assert lock.count("--hash=sha256:") >= len(packages)
    assert "://" not in lock
    assert "index-url" not in lock


def test_no_committed_file_names_a_registry_or_a_machine():
    tracked = subprocess.run(
        [
            "git",
            "grep",
            "-nIE",
            r"https?://[a-z0-9.-]*(maven|pypi|pythonhosted)|/(root|home)/[a-z]",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert not [line for line in tracked if "test_repository.py" not in line]


def test_the_tests_that_the_guarantees_name_exist():
    guarantees = (REPOSITORY / "docs/guarantees.md").read_text()
    named = re.findall(r"(test_\w+\.py)(?:::(test_\w+))?", guarantees)
    assert len(named) > 20
    for file, test in named:
        texts = [found.read_text() for found in (REPOSITORY / "tests").rglob(file)]
        assert texts, file
        assert not test or any(f"def {test}(" in text for text in texts), test
