"""Kafka, an S3-compatible store, an Iceberg catalog and Trino as plain processes on 127.0.0.1."""
