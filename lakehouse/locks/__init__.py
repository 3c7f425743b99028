"""Locks that keep two writers of a topic apart."""
