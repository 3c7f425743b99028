"""JSON lines on stderr: what a job does, for people in a hurry and for machines."""

import logging.config

CONFIGURATION = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
        }
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
            "formatter": "json",
        }
    },
    "loggers": {
        "lakehouse": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        # Tells over pages what a function of ours raised in a query, which the job tells in a line.
        "py4j.clientserver": {"level": "CRITICAL"},
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}


def configure_logging() -> None:
    logging.config.dictConfig(CONFIGURATION)
