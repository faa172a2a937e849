"""The errors that the benchmark raises on purpose.

BenchError            one sentence for the user: the benchmark can't go on
  MeasurementFailed   this one measurement gave no figure; the others go on
    NotOffered        nothing is wrong: the server does not have this, or the disk no room for it
"""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark can't go on."""


class MeasurementFailed(BenchError):
    """A measurement gave no figure: a wrong answer, a server that died, a time that ran out."""


class NotOffered(MeasurementFailed):
    """There is nothing to measure here."""
