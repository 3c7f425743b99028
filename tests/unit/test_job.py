import pytest

from lakehouse.errors import LakehouseError, reported
from lakehouse.job import first_line


def test_the_cause_of_a_java_failure_is_its_last_one():
    error = Exception("An error occurred\n\tat a.B\nCaused by: x.Y: outer\nCaused by: z.W: inner\n")
    assert first_line(error) == "z.W: inner"
    assert first_line(ValueError("plain\nmore")) == "plain"


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (LakehouseError("It broke", "Mend it"), "error: It broke. Mend it"),
        (
            OSError(28, "No space left on device", "/data"),
            "error: No space left on device /data. Check permissions and free space, "
            "then run the command again",
        ),
    ],
)
def test_a_failure_that_a_user_can_resolve_is_one_line(failure, line):
    with pytest.raises(SystemExit) as exit_, reported():
        raise failure
    assert exit_.value.code == line
