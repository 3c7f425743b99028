"""Iceberg tables, whichever they are: what py4j and Arrow need to know to read and write them."""
