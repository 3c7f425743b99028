"""Settings from the environment. `make env` prints the values of the local stack."""

from pydantic import ByteSize, Field, ValidationError
from pydantic_settings import BaseSettings

from lakehouse.errors import LakehouseError


class Settings(BaseSettings):
    """Settings of the jobs. Spark's, including catalog and store, are in SPARK_CONF_DIR."""

    kafka_bootstrap_servers: str = Field(description="HOST:PORT,... of Kafka's brokers.")
    spark_conf_dir: str = Field(
        description="Folder of `spark-defaults.conf`, which names catalog, store and jars."
    )
    consumer_group: str = Field(
        "retail-lakehouse",
        description="Consumer group under which lag tools find the ingest's progress.",
    )
    dead_letter_warn: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of a run's messages, per topic, that may become dead letters before the "
        "run logs a warning.",
    )
    dead_letter_stop: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of a run's messages, per topic, above which the run commits nothing "
        "more and fails.",
    )
    dead_letter_value_limit: ByteSize = Field(
        ByteSize(10 * 2**20),
        description="Bytes up to which a dead letter's value is kept whole; of a longer one its "
        "length, digest and beginning are kept.",
    )
    writer_lease_seconds: float = Field(
        60,
        ge=1,
        le=24 * 60 * 60,
        description="Seconds after which a writer without a sign of life loses its lock to another."
        " A store that is away for as long ends an ingest.",
    )
    retry_seconds: float = Field(
        300,
        ge=0,
        description="Seconds without a commit after which an ingest stops repeating what failed "
        "and may pass; 0 disables retries. A store outage longer than the lock's lease ends it "
        "sooner.",
    )
    duplicate_horizon_days: int = Field(
        7,
        ge=0,
        description="Days before and after an event's own day in which its event_id is looked up, "
        "as a client that tries again with a fresh clock can do so past midnight. dbt's test of "
        "ids reads it too.",
    )


def settings_table() -> str:
    """Return docs/settings.md's table: name, default and meaning of each setting."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else field.default
        shown = "none" if default is None else default
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def load_settings() -> Settings:
    """Return the settings in the environment; LakehouseError names those missing or wrong."""
    try:
        return Settings()
    except ValidationError as error:
        problems = {str(each["loc"][0]).upper(): each for each in error.errors()}
        missing = [name for name, problem in problems.items() if problem["type"] == "missing"]
        if missing:
            raise LakehouseError(
                f"Not set in the environment: {', '.join(missing)}",
                'For the local stack, run `eval "$(make -s env)"` in the repository',
            ) from None
        invalid = "; ".join(f"{name}: {problem['msg']}" for name, problem in problems.items())
        raise LakehouseError(f"In the environment, {invalid}", "Correct or unset it") from None


if __name__ == "__main__":
    print(settings_table(), end="")
