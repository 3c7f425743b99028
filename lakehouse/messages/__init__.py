"""What becomes of a message: steps that ingest, replay and dead letters share."""
