"""Failures that a user can resolve, and how commands show them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class LakehouseError(Exception):
    """What went wrong and what to do about it, in one line."""

    def __init__(self, cause: str, fix: str):
        super().__init__(f"{cause}. {fix}")


@contextmanager
def reported() -> Iterator[None]:
    """Around a command: a failure that a user can resolve is one line and exit code 1."""
    try:
        yield
    except LakehouseError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        what = " ".join(str(part) for part in (error.strerror or error, error.filename) if part)
        sys.exit(f"error: {what}. Check permissions and free space, then run the command again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted. Run the same command again")
