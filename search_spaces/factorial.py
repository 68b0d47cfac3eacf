"""Two-level fractional factorial designs: generators, defining relation, resolution.

Source: Box, Hunter and Hunter, Statistics for Experimenters, 2nd ed., chapters 5 and 6. A word is kept as
a bit mask over the factors, so that multiplying two words is XOR.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from search_spaces.errors import Problem, SpecificationError, refusal

LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Names of the factors in axis order; I is left out, for it is the identity of the defining relation."""

_EXHAUSTIVE_UP_TO = 10_000
_MOST_BASIC_FACTORS = 12  # 4,096 runs; the search would take seconds beyond


@dataclass(frozen=True)
class Generator:
    """`factor` is set to `sign` times the product of the factors in `word`, such as E=ABCD or E=-ABCD."""

    factor: int
    word: int
    sign: int = 1

    def __str__(self) -> str:
        return f"{LETTERS[self.factor]}={'-' if self.sign < 0 else ''}{spell(self.word)}"


@dataclass(frozen=True)
class Fraction:
    """A 2^(k-p) design of k `factors` with p `generators`; full when there are none."""

    factors: int
    generators: tuple[Generator, ...] = ()

    def __len__(self) -> int:
        return int(2 ** (self.factors - len(self.generators)))

    def runs(self) -> Iterator[tuple[int, ...]]:
        """Each run as k levels, -1 (first value of the axis) or +1; the last factor varies fastest."""
        generated = {generator.factor for generator in self.generators}
        basic = [factor for factor in range(self.factors) if factor not in generated]
        for levels in itertools.product((-1, 1), repeat=len(basic)):
            run: dict[int, int] = dict(zip(basic, levels, strict=True))
            for g in self.generators:
                run[g.factor] = g.sign * math.prod(run[i] for i in basic if g.word >> i & 1)
            yield tuple(run[factor] for factor in range(self.factors))

    def defining_relation(self) -> tuple[str, ...]:
        """The words whose product is constant over the runs, shortest first; empty for a full design."""
        masks = _span([g.word | 1 << g.factor for g in self.generators])
        return tuple(sorted(map(spell, masks), key=lambda word: (len(word), word)))

    @property
    def resolution(self) -> int | None:
        """Length of the shortest word: main effects are clear of effects of fewer than R - 1 factors.

        3 mixes main effects with pairwise interactions, 4 pairwise interactions with each other, 5 neither.
        None for a full design, which mixes nothing.
        """
        return min(map(len, self.defining_relation()), default=None)


def spell(word: int) -> str:
    """The letters of a bit mask."""
    return "".join(letter for i, letter in enumerate(LETTERS) if word >> i & 1)


def parse_generators(texts: Sequence[str], factors: int) -> Fraction:
    """The design that `texts` such as `["E=ABCD"]` generate.

    Raises `SpecificationError`, with paths relative to `texts`, when a generator cannot be read, names a
    factor that is not there, or confounds main effects with each other (resolution below 3).
    """
    letters = LETTERS[:factors]
    read = [re.fullmatch(r"\s*([A-Z])\s*=\s*([+-]?)\s*([A-Z]+)\s*", text) for text in texts]
    generated = [match[1] for match in read if match]
    problems, generators = [], []
    for i, (text, match) in enumerate(zip(texts, read, strict=True)):
        message = None
        if match is None:
            message = "must read like 'E=ABCD' or 'E=-ABCD'"
        elif unknown := sorted(set(match[1] + match[3]) - set(letters)):
            message = f"names {', '.join(unknown)}, but the axes in order are {', '.join(letters)}"
        elif generated.count(match[1]) > 1:
            message = f"sets {match[1]}, which another generator sets too"
        elif dependent := sorted(set(match[3]) & set(generated)):
            message = f"uses {', '.join(dependent)}, which a generator sets: use only the other factors"
        elif len(set(match[3])) != len(match[3]):
            message = "repeats a letter on the right"
        if message is not None:
            problems.append(Problem((i,), message, text))
        elif match is not None:
            mask = sum(1 << letters.index(letter) for letter in match[3])
            generators.append(Generator(letters.index(match[1]), mask, -1 if match[2] == "-" else 1))
    fraction = Fraction(factors, tuple(generators))
    if not problems and fraction.resolution is not None and fraction.resolution < 3:
        shortest = fraction.defining_relation()[0]
        message = f"confounds main effects with each other (I={shortest}): use longer words"
        problems = [Problem((), message, list(texts))]
    if problems:
        raise SpecificationError(problems)
    return fraction


@cache
def choose_generators(factors: int, exponent: int) -> Fraction:
    """A 2^(factors - exponent) design of the highest resolution found, with the fewest of its shortest words.

    The last `exponent` factors are generated. The search is exhaustive where it is small, and greedy
    otherwise, so a large design may have more aberration than the published minimum.
    Raises `SpecificationError` when there are too few runs for so many factors, or more than 4,096.
    """
    basic = factors - exponent
    if basic > _MOST_BASIC_FACTORS:
        message = (
            f"leaves 2^{basic} runs; beyond 2^{_MOST_BASIC_FACTORS} write `generators`, or take a larger one"
        )
        raise refusal((), message, exponent)
    words = [word for word in range(1, 2 ** max(basic, 0)) if word.bit_count() >= 2]
    if len(words) < exponent:
        most = next(p for p in range(factors, -1, -1) if 2 ** (factors - p) > factors)
        message = f"leaves too few runs to tell {factors} factors apart: must be at most {most}"
        raise refusal((), message, exponent)
    words.sort(key=lambda word: (-word.bit_count(), word))
    candidates: Iterable[tuple[int, ...]] = itertools.combinations(words, exponent)
    if math.comb(len(words), exponent) > _EXHAUSTIVE_UP_TO:
        candidates = [_greedy(words, exponent, basic)]
    best = min(candidates, key=lambda chosen: _aberration(chosen, basic))
    return Fraction(factors, tuple(Generator(basic + i, word) for i, word in enumerate(best)))


def _greedy(words: Sequence[int], exponent: int, basic: int) -> tuple[int, ...]:
    chosen: tuple[int, ...] = ()
    for _ in range(exponent):
        longer = [(*chosen, word) for word in words if word not in chosen]
        chosen = min(longer, key=lambda words: _aberration(words, basic))
    return chosen


def _aberration(words: Sequence[int], basic: int) -> list[int]:
    """How many words of length 1, 2, 3, … the defining relation has: the lesser list is the better design."""
    lengths = [mask.bit_count() for mask in _span([word | 1 << basic + i for i, word in enumerate(words)])]
    return [lengths.count(length) for length in range(1, basic + len(words) + 1)]


def _span(masks: Sequence[int]) -> list[int]:
    """All products of one or more of the words."""
    products = [0]
    for mask in masks:
        products += [product ^ mask for product in products]
    return products[1:]
