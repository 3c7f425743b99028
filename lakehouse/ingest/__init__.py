"""Kafka -> raw, staging and dead letters, in batches."""
