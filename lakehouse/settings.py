"""Where the outside world is, from the environment. `make env` prints the local stack's values."""

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from lakehouse.errors import LakehouseError


class Settings(BaseSettings):
    """Of the jobs. Spark's own, the catalog and the store included, are in SPARK_CONF_DIR."""

    kafka_bootstrap_servers: str
    checkpoint_location: str
    spark_conf_dir: str


def load_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        missing = ", ".join(str(problem["loc"][0]).upper() for problem in error.errors())
        raise LakehouseError(
            f"Not set in the environment: {missing}",
            'For the local stack, run `eval "$(make -s env)"` in the repository',
        ) from None
