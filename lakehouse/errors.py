"""The one kind of failure that a user can resolve."""


class LakehouseError(Exception):
    """Printed by every command as one line, cause then fix, with exit code 1."""

    def __init__(self, cause: str, fix: str):
        super().__init__(f"{cause}. {fix}")
