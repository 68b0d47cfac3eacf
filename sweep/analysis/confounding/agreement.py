"""What two estimates of one association say of each other, in a word that their intervals carry.

- agrees: both intervals leave zero out on the same side, and the second is not clearly the nearer to zero; or both
  associations are shown to be negligible
- shrinks: the first leaves zero out, and the second is clearly nearer to zero, or beyond
- vanishes: the first leaves zero out, and the second is shown to be negligible
- reverses: both leave zero out, on opposite sides, and they clearly differ
- appears: the first holds zero, the second leaves it out, and they clearly differ
- cannot tell: anything else

Clearly: the interval of their difference leaves zero out, or its p in the family that it was tested in is below the
level. Negligible: both one-sided tests at that level place it within a declared smallest effect of interest; without
one nothing is, and an interval that merely holds zero says nothing.
"""

from typing import Final, Literal

import numpy as np

from sweep.analysis.intervals import Interval

Word = Literal["agrees", "shrinks", "vanishes", "reverses", "appears", "cannot tell"]
WORDS: Final[tuple[Word, ...]] = ("agrees", "shrinks", "vanishes", "reverses", "appears", "cannot tell")


def compare(
    first: Interval,
    second: Interval,
    difference: float,
    clear: bool,
    *,
    first_negligible: bool = False,
    second_negligible: bool = False,
) -> Word:
    """The word for two estimates with their intervals; ``difference`` is first less second, ``clear`` whether it is."""
    if first_negligible and second_negligible:
        return "agrees"
    a, b = side(first), side(second)
    if not first.exists or not second.exists:
        return "cannot tell"
    if a == 0:
        return "appears" if b != 0 and clear else "cannot tell"
    if b == -a:
        return "reverses" if clear else "cannot tell"
    if second_negligible:
        return "vanishes"
    if clear and np.sign(difference) == a:
        return "shrinks"
    return "agrees" if b == a else "cannot tell"


def side(interval: Interval) -> int:
    """1 or -1 where the interval lies above or below zero, 0 where it holds zero or does not exist."""
    return int(interval.low > 0) - int(interval.high < 0)
