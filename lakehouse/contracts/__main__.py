"""Contracts -> docs/contracts/ and dbt's sources: `python -m lakehouse.contracts`"""

import argparse

from lakehouse.contracts.dbt_sources import FILE, dbt_sources
from lakehouse.contracts.schema import FOLDER, publish
from lakehouse.errors import reported


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m lakehouse.contracts",
        description=f"Publish the JSON Schema of every contract in {FOLDER}, and {FILE}.",
    ).parse_args()
    files = publish(FOLDER)
    sources = dbt_sources()
    files[FILE] = not FILE.exists() or FILE.read_text("utf-8") != sources
    FILE.write_text(sources, "utf-8")
    for file, changed in files.items():
        print("written  " if changed else "unchanged", file)


if __name__ == "__main__":
    with reported():
        main()
