"""Kafka topics -> Iceberg tables, with every offset accounted for."""
