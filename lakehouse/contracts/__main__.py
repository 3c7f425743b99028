"""Contracts -> docs/contracts/ and dbt's sources: `python -m lakehouse.contracts`"""

from lakehouse.console import as_help, command_line
from lakehouse.contracts.dbt_sources import FILE, dbt_sources
from lakehouse.contracts.json_schema import FOLDER, publish
from lakehouse.errors import reported

app = command_line()


@app.command(help=as_help(__doc__))
def main() -> None:
    files = publish(FOLDER)
    sources = dbt_sources()
    files[FILE] = not FILE.exists() or FILE.read_text("utf-8") != sources
    FILE.write_text(sources, "utf-8")
    for file, changed in files.items():
        print("written  " if changed else "unchanged", file)


if __name__ == "__main__":
    with reported():
        app()
