"""Contracts -> docs/contracts/: `python -m lakehouse.contracts`"""

import argparse

from lakehouse.contracts.schema import FOLDER, publish
from lakehouse.errors import reported


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m lakehouse.contracts",
        description=f"Publish the JSON Schema of every contract in {FOLDER}.",
    ).parse_args()
    for file, changed in publish(FOLDER).items():
        print("written  " if changed else "unchanged", file)


if __name__ == "__main__":
    with reported():
        main()
