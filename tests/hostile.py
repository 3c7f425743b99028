"""Texts that break what is put together from them: paths, keys, URLs, SQL."""

TEXTS = [
    *("ann#1", "ann#2", "ann?x", "a/b", "..", ".", " ", "%2F", "a%2Fb", "'", '"', "a=b", "\\"),
    *("\u0000", "\u0001\u007f", "\u2028", "😀", "é", "E\u0301", "ANN", "ann", "null", "x" * 1000),
    *("é" * 1000, "/" * 1000),
]
