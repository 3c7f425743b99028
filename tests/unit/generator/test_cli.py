"""Arguments -> one line of cause and fix and an exit code, without a broker."""

import pytest

from generator.__main__ import main


@pytest.fixture(autouse=True)
def _no_broker_named(monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)


def run(capsys, *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--events", "5"], ["expect"]])
def test_without_a_broker_the_error_says_how_to_name_one(capsys, arguments):
    code, error = run(capsys, *arguments)
    assert code == 1
    assert error.count("\n") == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in error
    assert 'eval "$(make -s env)"' in error


def test_a_bad_line_stops_a_load_before_a_broker_is_asked_for(capsys, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"user_id":"U1"}\n{oops\n')
    code, error = run(capsys, "load", str(path), "--topic", "user-events")
    assert code == 1
    assert error.count("\n") == 1
    assert f"{path}:2 is not JSON" in error


def test_an_unknown_topic_is_a_usage_error_that_names_the_two(capsys, tmp_path):
    code, error = run(capsys, "load", str(tmp_path), "--topic", "orders")
    assert code == 2
    assert "'user-events'" in error
    assert "'product-metadata'" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bad-rate", "1.1"],
        ["--events", "-1"],
        ["--products", "90000"],
        ["--start", "2999-01-01"],
        ["--start", "1970-01-15"],
        ["--start", "yesterday"],
    ],
)
def test_values_that_cannot_be_are_usage_errors(capsys, arguments):
    code, error = run(capsys, *arguments, "--bootstrap-servers", "127.0.0.1:1")
    assert code == 2
    assert "Usage: " in error


def test_options_of_produce_before_a_command_are_not_dropped_in_silence(capsys):
    code, error = run(capsys, "--events", "5", "expect")
    assert code == 2
    assert "--events" in error


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "load" in shown
    assert "expect" in shown
