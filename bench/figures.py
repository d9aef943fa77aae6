"""What several rounds say: the median, and an interval that holds it with a confidence of 95 %.

The interval is a percentile bootstrap (Efron, 1979): the rounds are drawn anew, with repetition, many times. Contenders
of one run were interleaved, so their rounds are drawn in pairs: what slowed a round down slowed both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Drawn = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

__all__ = ["Interval", "change", "median", "ratio", "spread"]

_RESAMPLES: Final = 2_000
_SURE: Final = (2.5, 97.5)
_SURER: Final = (0.5, 99.5)


class Interval(NamedTuple):
    """A figure, and between what it lies with a confidence of 95 %, unless said otherwise."""

    value: float
    low: float
    high: float


def median(rounds: Sequence[float]) -> Interval:
    """Return the median of rounds, at least one."""
    return _interval(float(np.median(rounds)), _medians(rounds))


def ratio(over: Sequence[float], under: Sequence[float]) -> Interval:
    """Return the ratio of the medians of two contenders of one run.

    Args:
        over: rounds of the one that is divided.
        under: as many rounds of the one it is divided by; above 0.
    """
    if len(over) != len(under):
        raise ValueError("interleaved contenders have the same number of rounds")
    return _interval(float(np.median(over) / np.median(under)), _medians(over) / _medians(under))


def change(
    old: Sequence[float],
    new: Sequence[float],
    old_yardstick: Sequence[float] = (1.0,),
    new_yardstick: Sequence[float] = (1.0,),
) -> Interval:
    """Return by what a contender's median is multiplied from one run to another, whose rounds are drawn apart; at 99 %.

    Args:
        old: its rounds in the one run.
        new: its rounds in the other.
        old_yardstick: rounds of another contender of that run, in whose multiples to compare.
        new_yardstick: the same of the other run.
    """
    value = np.median(new) / np.median(new_yardstick) / (np.median(old) / np.median(old_yardstick))
    drawn = _medians(new, 1) / _medians(new_yardstick, 1) / (_medians(old) / _medians(old_yardstick))
    return _interval(float(value), drawn, _SURER)


def spread(rounds: Sequence[float]) -> float:
    """Return half the distance between the quartiles, as a part of the median; 0 of a single round."""
    low, middle, high = np.percentile(rounds, (25, 50, 75))
    return float((high - low) / 2 / middle) if middle else 0.0


def _medians(rounds: Sequence[float], seed: int = 0) -> Drawn:
    """Return medians of rounds drawn anew. The same seed draws the same rounds, of however many contenders."""
    places = np.random.default_rng(seed).integers(len(rounds), size=(_RESAMPLES, len(rounds)))
    medians: Drawn = np.median(np.asarray(rounds, dtype=np.float64)[places], axis=1)
    return medians


def _interval(value: float, drawn: Drawn, ends: tuple[float, float] = _SURE) -> Interval:
    low, high = np.percentile(drawn, ends)
    return Interval(value, min(value, float(low)), max(value, float(high)))
