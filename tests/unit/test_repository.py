"""Rules that hold for the tree as a whole."""

import ast
import inspect
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.contracts import RULES
from lakehouse.settings import settings_table

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())


# Packages and modules of lakehouse/, each floor above those that it may import.
FLOORS = [
    {"errors", "logs", "console"},
    {"settings", "retry", "contracts", "scratch"},
    {"kafka", "iceberg", "remedies"},
    {"tables"},
    {"locks"},
    {"messages", "maintenance", "stack", "job"},
    {"ingest", "replay", "dead_letters", "audit", "demo"},
]
ENTRIES = {"jobs", "generator", "tests", "bench"}


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """Each import in a folder: the module that has it, and what is imported, by their names."""
    for file in (REPOSITORY / folder).rglob("*.py"):
        module = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield from ((module, f"{node.module}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)


def part(module: str) -> str:
    """kafka of lakehouse.kafka.topics"""
    return module.split(".")[1]


def test_no_part_of_the_lakehouse_imports_another_of_its_floor_or_above():
    floors = {part: number for number, floor in enumerate(FLOORS) for part in floor}
    between = [
        (module, imported)
        for module, imported in imports("lakehouse")
        if imported.startswith("lakehouse.") and part(module) != part(imported)
    ]
    assert len(between) > 100
    assert not [each for each in between if floors[part(each[0])] <= floors[part(each[1])]]


def test_what_is_started_imports_the_lakehouse_and_never_the_other_way_round():
    assert not [each for each in imports("lakehouse") if each[1].split(".")[0] in ENTRIES]
    assert not [each for each in imports("jobs") if each[1].split(".")[0] in ENTRIES]
    from_lakehouse = [name for _, name in imports("generator") if name.startswith("lakehouse.")]
    assert {part(name) for name in from_lakehouse} == {"contracts"}


def test_one_module_says_how_the_brokers_are_reached():
    files = (REPOSITORY / "lakehouse").rglob("*.py")
    named = {str(f.relative_to(REPOSITORY)) for f in files if "bootstrap.servers" in f.read_text()}
    stack = {"lakehouse/stack/services.py", "lakehouse/stack/training.py"}
    assert named - stack == {"lakehouse/kafka/client.py"}


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


@pytest.mark.parametrize(
    "name",
    re.findall(r"^\| `([\w.]+)` \|", (REPOSITORY / "docs/python.md").read_text(), re.MULTILINE),
)
def test_what_is_documented_for_python_is_there_and_says_what_it_does(name):
    found = pkgutil.resolve_name(name)
    assert isinstance(found, tuple) or inspect.getdoc(found)


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "tests/topics").glob("*.*")), ids=lambda f: f.name
)
def test_the_topic_that_is_documented_is_the_one_that_is_tested(file):
    assert f"\n{file.read_text()}```" in (REPOSITORY / "docs/your-own-topic.md").read_text()


def test_the_documented_settings_are_those_of_the_jobs():
    assert settings_table() in (REPOSITORY / "docs/settings.md").read_text()


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
