import pytest

from lakehouse.errors import LakehouseError, reported


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
