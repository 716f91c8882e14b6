"""Which trials a user asks for: "latency<300us and (accuracy>=90% or layer4.*!=w1a1)"."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.objective import OBJECTIVES, Objective, all_objectives, objective_named
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    from mpsearch.search.run import Run

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_SPELLINGS = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!="}
_TOKEN = re.compile(r"\s*(?:([()])|(<=|>=|==|!=|[<>=≤≥≠])|((?:[^\s()<>=≤≥≠!]|!(?!=))+))")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+", re.ASCII)
_RANKS = {name: rank for rank, name in enumerate(SCHEMES)}
_DEEPEST = 50


class _Condition(Protocol):
    def keeps(self, run: Run, record: TrialRecord) -> bool: ...


def _ratio(text: str) -> float:
    match = re.fullmatch(rf"({_NUMBER.pattern})\s*[x×]?", text, re.ASCII)
    if match is None:
        raise ConfigError(f"A factor over 32 bits must be a number such as 5 or 5x; got {text!r:.100}.")
    return float(match[1])


def _number(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise ConfigError(f"A trial number must be a whole number such as 12; got {text!r:.100}.")
    return float(text)


def _width(text: str) -> float:
    match = re.fullmatch(rf"({_NUMBER.pattern})\s*[x×]?", text, re.ASCII)
    if match is None:
        raise ConfigError(f"A width must be a number such as 0.5 or 2x; got {text!r:.100}.")
    return float(match[1])


@dataclass(frozen=True, slots=True)
class _Quantity:
    value: Callable[[Run, TrialRecord], float]
    parse: Callable[[str], float]


def _of_objective(objective: Objective) -> _Quantity:
    return _Quantity(lambda _run, record: objective.of(record), objective.parse)


_QUANTITIES: dict[str, _Quantity] = {
    **{name: _of_objective(objective) for name, objective in OBJECTIVES.items()},
    "test": _Quantity(lambda run, r: run.test_scores.get(r.number, math.nan), OBJECTIVES["accuracy"].parse),
    "faster": _Quantity(lambda run, r: run.baseline.costs.latency_s / r.latency_s, _ratio),
    "smaller": _Quantity(lambda run, r: run.baseline.costs.memory_bytes / r.memory_bytes, _ratio),
    "width": _Quantity(lambda _run, r: math.nan if r.policy.width is None else r.policy.width, _width),
    "trial": _Quantity(lambda _run, record: record.number, _number),
}
_EXACT = ("trial", "width")  # which of them are numbers that were chosen, not measured
_FLAGS: dict[str, Callable[[Run, TrialRecord], bool]] = {
    "front": lambda run, record: record.number in run.front,
    "feasible": lambda _run, record: record.feasible,
    "uniform": lambda _run, record: record.policy.uniform_scheme is not None,
}
_KEYWORDS = ("and", "or", "not")
FILTER_RULE = (
    f"a comparison of {', '.join(_QUANTITIES)} (latency<300us), a layer's scheme (fc=w8a8, "
    f"layer4.*!=w1a1), or {', '.join(_FLAGS)}, joined by and, or, not and parentheses"
)


def _quantity_named(name: str) -> _Quantity:
    return _QUANTITIES.get(name) or _of_objective(objective_named(name))


@dataclass(frozen=True, slots=True)
class _Compared:
    name: str
    comparison: str
    text: str  # the quantity as it was written
    bound: float

    def keeps(self, run: Run, record: TrialRecord) -> bool:
        value = _quantity_named(self.name).value(run, record)
        return not math.isnan(value) and _COMPARISONS[self.comparison](value, self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.comparison}{self.text}"


@dataclass(frozen=True, slots=True)
class _Layers:
    """Every layer that `pattern` names meets the comparison with (one of) `schemes`."""

    pattern: str
    comparison: str
    schemes: tuple[str, ...]
    layers: tuple[str, ...]

    def keeps(self, _run: Run, record: TrialRecord) -> bool:
        return all(self._holds(record.policy[layer].name) for layer in self.layers)

    def _holds(self, scheme: str) -> bool:
        if self.comparison in {"=", "!="}:
            return (scheme in self.schemes) == (self.comparison == "=")
        return _COMPARISONS[self.comparison](_RANKS[scheme], _RANKS[self.schemes[0]])

    def __str__(self) -> str:
        return f"{self.pattern}{self.comparison}{','.join(self.schemes)}"


@dataclass(frozen=True, slots=True)
class _Flag:
    name: str

    def keeps(self, run: Run, record: TrialRecord) -> bool:
        return _FLAGS[self.name](run, record)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class _Not:
    inner: _Condition

    def keeps(self, run: Run, record: TrialRecord) -> bool:
        return not self.inner.keeps(run, record)

    def __str__(self) -> str:
        return f"not ({self.inner})" if isinstance(self.inner, _Joined) else f"not {self.inner}"


@dataclass(frozen=True, slots=True)
class _Joined:
    word: str  # and, or
    parts: tuple[_Condition, ...]

    def keeps(self, run: Run, record: TrialRecord) -> bool:
        decide = all if self.word == "and" else any
        return decide(part.keeps(run, record) for part in self.parts)

    def __str__(self) -> str:
        texts = [f"({part})" if isinstance(part, _Joined) else str(part) for part in self.parts]
        return f" {self.word} ".join(texts)


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """A condition on trials, made by `parse`; `str` of it parses to an equal one.

    Grammar, `not` binding closer than `and`, `and` closer than `or`:
        filter    = term {or term};  term = factor {and factor};  factor = not factor | (filter) | condition
        condition = QUANTITY OP VALUE | LAYERS OP SCHEME{,SCHEME} | front | feasible | uniform
    QUANTITY is accuracy, latency, latency_p95, latency_p99, memory, energy, a latency or energy of a further
    device (latency@pi5), test (accuracy on the test split), faster, smaller (factors over 32 bits) or trial;
    OP is <, <=, >, >=, and = and != for trial and layers. LAYERS is a layer's name or a glob: every layer
    that it matches must meet the comparison; < and > order schemes by their bits. What is unknown of a trial
    (its test score, the accuracy of one that failed) meets no comparison.
    """

    condition: _Condition

    @classmethod
    def parse(cls, text: str, layers: Sequence[str], devices: Sequence[str] = ()) -> TrialFilter:
        """Raises: ConfigError if it breaks the grammar, or names no layer of `layers` or no further device of
        `devices`.
        """
        return cls(_Parser(text, layers, devices).parsed())

    def keeps(self, run: Run, record: TrialRecord) -> bool:
        """Whether `record` of `run` meets the condition."""
        return self.condition.keeps(run, record)

    def __str__(self) -> str:
        return str(self.condition)


class _Parser:
    def __init__(self, text: str, layers: Sequence[str], devices: Sequence[str]) -> None:
        self._text, self._layers = text, tuple(layers)
        self._quantities = dict.fromkeys((*_QUANTITIES, *all_objectives(devices)))
        self._tokens: list[str] = []
        self._place = 0
        end = 0
        while end < len(text.rstrip()):
            match = _TOKEN.match(text, end)
            if match is None:
                raise self._refused(f"{text[end:].strip()[:20]!r} is no part of it")
            self._tokens.append(match[1] or _SPELLINGS.get(match[2], match[2]) or match[3])
            end = match.end()

    def parsed(self) -> _Condition:
        if not self._tokens:
            raise self._refused("it is empty")
        condition = self._joined("or", 0)
        if self._place < len(self._tokens):
            raise self._refused(
                f"{self._next()!r} has nothing before it to belong to; and or or may be missing"
            )
        return condition

    def _next(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._place += 1
        return token

    def _joined(self, word: str, depth: int) -> _Condition:
        if depth > _DEEPEST:
            raise self._refused(f"more than {_DEEPEST} conditions lie inside one another")
        parts = [self._part(word, depth)]
        while self._next().lower() == word:
            self._take()
            parts.append(self._part(word, depth))
        return parts[0] if len(parts) == 1 else _Joined(word, tuple(parts))

    def _part(self, word: str, depth: int) -> _Condition:
        return self._joined("and", depth) if word == "or" else self._factor(depth + 1)

    def _factor(self, depth: int) -> _Condition:
        if depth > _DEEPEST:
            raise self._refused(f"more than {_DEEPEST} conditions lie inside one another")
        piece = self._take()
        if piece.lower() == "not":
            return _Not(self._factor(depth + 1))
        if piece == "(":
            inner = self._joined("or", depth)
            if self._take() != ")":
                raise self._refused("a parenthesis is not closed")
            return inner
        if not piece or piece == ")" or piece in _COMPARISONS or piece.lower() in _KEYWORDS:
            raise self._refused(f"a condition is missing before {piece!r}" if piece else "it ends too early")
        if self._next() in _COMPARISONS:
            return self._compared(piece)
        if piece in _FLAGS:
            return _Flag(piece)
        raise self._refused(f"{piece!r} is compared with nothing, and is none of {', '.join(_FLAGS)}")

    def _compared(self, name: str) -> _Condition:
        comparison, value = self._take(), self._take()
        if not value or value in "()" or value in _COMPARISONS or value.lower() in _KEYWORDS:
            raise self._refused(f"{name}{comparison} is compared with nothing")
        schemes = tuple(value.split(","))
        if all(scheme in SCHEMES for scheme in schemes):
            return self._layer_condition(name, comparison, schemes)
        if name not in self._quantities:
            raise self._unknown(name, value)
        unit = self._next()
        if _NUMBER.fullmatch(value) and unit and unit not in "()" and unit.lower() not in _KEYWORDS:
            value += self._take()  # "300 us"
        if comparison in {"=", "!="} and name not in _EXACT:
            raise self._refused(f"{name} is never exactly a number; compare it by <, <=, > or >=")
        return _Compared(name, comparison, value, _quantity_named(name).parse(value))

    def _layer_condition(self, pattern: str, comparison: str, schemes: tuple[str, ...]) -> _Condition:
        named = tuple(layer for layer in self._layers if layer == pattern)
        named = named or tuple(layer for layer in self._layers if fnmatchcase(layer, pattern))
        if not named:
            raise self._refused(f"no layer matches {pattern!r}{self._near(pattern, self._layers)}")
        if len(schemes) > 1 and comparison not in {"=", "!="}:
            raise self._refused(f"{comparison} compares with one scheme, not with {len(schemes)}")
        return _Layers(pattern, comparison, schemes, named)

    def _unknown(self, name: str, value: str) -> ConfigError:
        if any(fnmatchcase(layer, name) for layer in self._layers):
            return self._refused(f"{value!r} is no scheme: a layer takes one of {', '.join(SCHEMES)}")
        near = self._near(name, (*self._quantities, *self._layers))
        return self._refused(f"{name!r} is neither a quantity nor a layer{near}")

    @staticmethod
    def _near(name: str, known: Sequence[str]) -> str:
        near = difflib.get_close_matches(name, known, n=1)
        return f" (did you mean {near[0]}?)" if near else ""

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(f"A filter must be {FILTER_RULE}; got {self._text!r:.200}: {why}.")
