"""The tables of this lakehouse: their definitions, and what their snapshots record."""
