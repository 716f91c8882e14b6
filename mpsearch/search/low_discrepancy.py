"""Numbers in 0 to 1 that fill it evenly from the first ones on."""

from __future__ import annotations

import itertools

import numpy as np

from mpsearch.search.known_policies import Floats


def radical_inverse(number: int, base: int) -> float:
    """The digits of a number mirrored behind the point: 1, 2, 3 in base 2 give 1/2, 1/4, 3/4."""
    inverse, digit = 0.0, 1.0 / base
    while number:
        number, last = divmod(number, base)
        inverse += last * digit
        digit /= base
    return inverse


def van_der_corput(number: int) -> float:
    """1, 0, 1/2, 1/4, 3/4, 1/8, ...: both ends, then always the middle of what is left.

    Source: van der Corput 1935.
    """
    return 1.0 if number == 0 else radical_inverse(number - 1, 2)


def halton(number: int, count: int) -> Floats:
    """Points that fill a cube; none has a coordinate of 0. Shape: -> (count,).

    Source: Halton 1960, 10.1007/BF01386213.
    """
    bases: list[int] = []
    candidates = itertools.count(2)
    while len(bases) < count:
        candidate = next(candidates)
        if all(candidate % base for base in bases):
            bases.append(candidate)
    return np.array([radical_inverse(number + 1, base) for base in bases])
