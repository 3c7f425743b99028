"""Settings from the environment. `make env` prints the values of the local stack."""

from pydantic import ByteSize, Field, ValidationError
from pydantic_settings import BaseSettings

from lakehouse.errors import LakehouseError


class Settings(BaseSettings):
    """Settings of the jobs. Spark's, including catalog and store, are in SPARK_CONF_DIR."""

    kafka_bootstrap_servers: str
    spark_conf_dir: str
    # Lag tools find the ingest's progress under this name.
    consumer_group: str = "retail-lakehouse"
    # Shares of a run's messages, per topic: above the first it warns, above the second it commits
    # nothing more and fails.
    dead_letter_warn: float = Field(0.05, ge=0, le=1)
    dead_letter_stop: float | None = Field(None, ge=0, le=1)
    # A dead letter's value is kept whole up to here; beyond, its length, digest and beginning.
    dead_letter_value_limit: ByteSize = ByteSize(10 * 2**20)
    # After so long without a sign of life a writer has lost its lock, and another may take it. A
    # store that is slow for as long stops an ingest.
    writer_lease_seconds: float = Field(60, ge=1, le=24 * 60 * 60)
    # After a failure that may pass, an ingest begins again until it has committed nothing for so
    # long; 0 disables retries. A store outage longer than the lock's lease ends the run sooner.
    retry_seconds: float = Field(300, ge=0)
    # How many days around an event's own day its event_id is searched for, for duplicates: a client
    # that tries again with a fresh clock can do so past midnight. dbt's test of ids reads it too.
    duplicate_horizon_days: int = Field(7, ge=0)


def load_settings() -> Settings:
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
