"""What can go wrong with a benchmark, as a sentence for the person who runs it."""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark cannot go on, or a part of it failed; the text says what and why."""
