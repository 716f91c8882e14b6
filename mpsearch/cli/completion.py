"""What the shell offers for an argument that is not finished: spaces, runs, trials, layers.

Nothing here imports torch, optuna or numpy, and nothing raises: a completion that cannot be told is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.built_in_spaces import built_in_spaces

SPECIAL_PICKS = {
    "knee": "the best compromise",
    "best": "the most accurate within the budgets",
    "fastest": "the least latency",
    "smallest": "the least memory",
    "accurate": "the most accurate",
}
_RUNS = Path("runs")
_FACTS = "run.json"
_MOST = 200
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)

Offers = list[tuple[str, str]]


def complete_space(incomplete: str) -> Offers:
    """Built-in spaces, YAML files."""
    return [*_starting(incomplete, _built_in_spaces()), *_files(incomplete, (".yaml", ".yml"))]


def complete_space_or_run(incomplete: str) -> Offers:
    """A space to search, or a run to go on with."""
    return [*complete_space(incomplete), *complete_run(incomplete)]


def complete_run(incomplete: str) -> Offers:
    """Run folders: those under runs/, and any folder with a run.json on the way that is typed."""
    offers = {} if incomplete.startswith(("/", ".", "~")) else dict(_runs_in(_RUNS))
    found = dict(_starting(incomplete, offers.items()))
    with suppress(*_UNREADABLE):
        typed, _, last = incomplete.rpartition("/")
        folder = Path(typed or ("/" if incomplete.startswith("/") else ".")).expanduser()
        for path in sorted(folder.iterdir())[:_MOST]:
            if path.name.startswith(last) and path.is_dir() and not path.name.startswith("."):
                name = f"{typed}/{path.name}" if typed or incomplete.startswith("/") else path.name
                if (path / _FACTS).is_file():
                    found.setdefault(name, _about_run(path))
                elif any(path.glob(f"*/{_FACTS}")):
                    found.setdefault(name + "/", "")
    return list(found.items())


def complete_trial(ctx: typer.Context, incomplete: str) -> Offers:
    """Picks by word, and the trial numbers of the run that is typed already."""
    run = _typed(ctx)
    numbers = [] if run is None else _trials(Path(run))
    return [*_starting(incomplete, SPECIAL_PICKS.items()), *_starting(incomplete, numbers)]


def complete_trial_or_run(ctx: typer.Context, incomplete: str) -> Offers:
    """Policies of the run that is typed already, or more runs."""
    return [*complete_trial(ctx, incomplete), *(complete_run(incomplete) if "/" in incomplete else [])]


def complete_override(ctx: typer.Context, incomplete: str) -> Offers:
    """`layer=scheme`: the layers of the run or space that is typed already, then their schemes."""
    layer, is_named, typed = incomplete.rpartition("=")
    if is_named:
        done, comma, last = typed.rpartition(",")
        return [(f"{layer}={done}{comma}{name}", "") for name in SCHEMES if name.startswith(last)]
    return [(f"{name}=", about) for name, about in _starting(incomplete, _layers(ctx))]


def complete_layer(ctx: typer.Context, incomplete: str) -> Offers:
    """Layer names of the run or space that is typed already."""
    return list(_starting(incomplete, _layers(ctx)))


def complete_objective(ctx: typer.Context, incomplete: str) -> Offers:
    """What an axis can show; of the run that is typed already, on its further devices too."""
    from mpsearch.search.objective import all_objectives  # numpy: only where it is asked for

    run = _typed(ctx)
    names = all_objectives([] if run is None else _devices(Path(run)))
    return list(_starting(incomplete, [(name, "") for name in names]))


def _devices(run: Path) -> list[str]:
    with suppress(*_UNREADABLE):
        return sorted(path.stem for path in (run / "profiles").glob("*.json"))[:_MOST]
    return []


def _starting(incomplete: str, offers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name, about) for name, about in offers if name.startswith(incomplete))


def _built_in_spaces() -> Offers:
    with suppress(*_UNREADABLE):
        return [(name, "built-in space") for name in built_in_spaces()]
    return []


def _files(incomplete: str, endings: tuple[str, ...]) -> Offers:
    """Files of these kinds, and the folders on the way to them."""
    typed, slash, last = incomplete.rpartition("/")
    found = []
    with suppress(*_UNREADABLE):
        folder = Path(typed + slash or ".").expanduser()
        for path in sorted(folder.iterdir())[:_MOST]:
            if not path.name.startswith(last) or path.name.startswith("."):
                continue
            if path.suffix in endings:
                found.append((f"{typed}{slash}{path.name}", "space file"))
            elif path.is_dir() and any(any(path.glob(f"*{ending}")) for ending in endings):
                found.append((f"{typed}{slash}{path.name}/", ""))
    return found


def _runs_in(folder: Path) -> Iterator[tuple[str, str]]:
    with suppress(*_UNREADABLE):
        for path in sorted(folder.iterdir())[:_MOST]:
            if (path / _FACTS).is_file():
                yield str(path), _about_run(path)


def _about_run(path: Path) -> str:
    with suppress(*_UNREADABLE), (path / "trials.jsonl").open("rb") as lines:
        return f"{sum(1 for _ in lines)} trials"
    return "run"


def _trials(run: Path) -> list[tuple[str, str]]:
    found = []
    with suppress(*_UNREADABLE), (run / "trials.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            trial = json.loads(line)
            about = trial["state"] if trial["score"] is None else f"{100 * trial['score']:.2f}%"
            found.append((str(trial["number"]), about))
    return found


def _layers(ctx: typer.Context) -> Offers:
    """Of the run; for a space, of the run that it was searched into, else the names in its rules."""
    typed = _typed(ctx)
    if typed is None:
        return []
    for folder in (Path(typed), _RUNS / Path(typed).stem):
        with suppress(*_UNREADABLE):
            facts: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            return [(layer["name"], str(layer["calls"][0]["operator"])) for layer in facts["model"]["layers"]]
    with suppress(*_UNREADABLE):
        return _rule_names(typed)
    return []


def _typed(ctx: typer.Context) -> str | None:
    """The run or space that is typed already: parsed, or left over where an option still lacks its value."""
    parsed = [ctx.params[name] for name in ("run", "space") if ctx.params.get(name) is not None]
    left = [word for word in ctx.args if not word.startswith("-")]
    return str([*parsed, *left][0]) if parsed or left else None


def _rule_names(space: str) -> Offers:
    import yaml

    path = built_in_spaces().get(space, Path(space))
    try:
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))["layers"]
    except yaml.YAMLError:
        return []
    return [(str(rule["match"]), "rule of the space") for rule in rules if rule.get("match", "*") != "*"]
