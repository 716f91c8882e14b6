"""From a YAML file, or plain Python values, to a search space."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mpsearch.errors import ConfigError, FormatError
from mpsearch.search.budgets import Budgets
from mpsearch.search.built_in_spaces import built_in_spaces
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.objective import objectives_named
from mpsearch.search.overrides import Overrides
from mpsearch.search.space import (
    SPACE_END,
    SPACE_SCHEMA,
    LayerRule,
    SearchSpace,
    TaskReference,
    require_learnt,
)
from mpsearch.search.space_schema import space_form, valid_keys
from mpsearch.search.widths import Widths
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task_name import located

MAX_FILE_BYTES = 2_000_000
_SHOWN_ERRORS = 5
_DEEPEST = 50
_MOST_DIGITS = 400

Place = tuple[str | int, ...]
Lines = Mapping[Place, int]


def load_space(name_or_path: str | Path) -> SearchSpace:
    """A space by its file, or a built-in one by its bare name (`digits`).

    A task's `file.py:function` is looked for beside the space file, then in the current folder.

    Raises: ConfigError if there is no such file, or it breaks a rule; FormatError if its schema is newer.
    """
    path = find_space(name_or_path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"A space file must be smaller than {MAX_FILE_BYTES} bytes; {path} is not.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a readable text file; got: {error}.") from error
    space = parse_space(text, source=str(path), name=path.stem)
    return replace(space, task=replace(space.task, name=located(space.task.name, path.parent, Path.cwd())))


def load_stored_space(path: Path) -> SearchSpace:
    """The space of a run, as `SearchSpace.to_yaml` wrote it.

    Raises: FormatError if the file is truncated; else as `load_space`.
    """
    space = load_space(path)
    if path.read_text(encoding="utf-8").rstrip().rpartition("\n")[2] != SPACE_END:
        raise FormatError(
            f"{path} must end with a line {SPACE_END!r}; it is truncated. Restore it, or search in another "
            "folder."
        )
    return space


def find_space(name_or_path: str | Path) -> Path:
    """The file of a space; see `load_space`.

    Raises: ConfigError if there is none, with the built-in names.
    """
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except PermissionError as error:
        raise ConfigError(
            f"{path} must be readable; got: {error.strerror}. Check its permissions."
        ) from error
    except (OSError, ValueError):
        pass  # a name too long or with a null byte is no file either
    built_in = built_in_spaces()
    if str(name_or_path) in built_in:
        return built_in[str(name_or_path)]
    raise ConfigError(
        f"A space must be a YAML file or one of {', '.join(built_in) or '(no built-in spaces found)'}; "
        f"got {str(name_or_path)!r}.{did_you_mean(str(name_or_path), built_in)}"
    )


def parse_space(text: str, *, source: str = "<text>", name: str = "space") -> SearchSpace:
    """A space from YAML; `name` is used where the text gives none.

    Raises: ConfigError with key and line if a rule is broken; FormatError if the schema is newer.
    """
    values, lines = _read_yaml(text, source)
    return build_space(values, name=name, source=source, lines=lines)


def build_space(
    values: Any, *, name: str = "space", source: str = "the search space", lines: Lines | None = None
) -> SearchSpace:
    """A space from plain Python values of the same form as the file.

    Raises: ConfigError with key and line if a rule is broken; FormatError if the schema is newer.
    """
    places = lines or {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{source} must hold keys such as `task` and `layers`; got {type(values).__name__}. "
            "`mpsearch space show digits` prints a complete example."
        )
    schema = values.get("schema", SPACE_SCHEMA)
    if isinstance(schema, int) and schema > SPACE_SCHEMA:
        raise FormatError(
            f"{source} has schema {schema}; this mpsearch reads up to {SPACE_SCHEMA}. Install a newer "
            "mpsearch."
        )
    try:
        form: Any = space_form(values.get("budgets")).model_validate(
            values
        )  # parts of it are classes made at run time
    except ValidationError as error:
        raise ConfigError(_explain(error, source, places)) from None
    except RecursionError:
        raise ConfigError(
            f"{source} is nested too deeply. `mpsearch space show digits` prints an example."
        ) from None
    if form.schema_ != SPACE_SCHEMA:
        raise ConfigError(f"{source}: `schema` must be {SPACE_SCHEMA}; got {form.schema_}.")
    rules = tuple(
        LayerRule(
            match=rule.match,
            operator=rule.operator,
            schemes=rule.allowed(),
            group=rule.group,
            line=places.get(("layers", index)),
        )
        for index, rule in enumerate(form.layers)
    )
    objectives, budgets = objectives_named(form.objectives), Budgets.parse(form.budgets.model_dump())
    try:
        require_learnt(objectives, budgets)
    except ConfigError as error:
        line = _line_of(("objectives",), places)
        raise ConfigError(f"{source}{f', line {line}' if line else ''}: {error}") from None
    return SearchSpace(
        name=form.name or name,
        task=TaskReference(name=form.task.name, args=form.task.args),
        widths=_widths(form, source, places),
        layers=rules,
        objectives=objectives,
        budgets=budgets,
        overrides=Overrides.parse(form.overrides.pin, form.overrides.forbid),
        trial=TrialRecipe(**form.trial.model_dump()),
        search=form.search.settings(),
    )


def _widths(form: Any, source: str, lines: Lines) -> Widths | None:
    """Raises: ConfigError if the task is given the argument too that the widths are for."""
    if form.widths is None:
        return None
    widths = Widths.of(form.widths.values, form.widths.argument)
    if widths.argument in form.task.args:
        line = _line_of(("task", "args", widths.argument), lines)
        raise ConfigError(
            f"{source}{f', line {line}' if line else ''}: `task.args.{widths.argument}` must not be set "
            f"where `widths` ({widths}) choose it. Remove one."
        )
    return widths


def _read_yaml(text: str, source: str) -> tuple[Any, dict[Place, int]]:
    try:
        _check_events(text, source)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Place, int] = {}
            if node is not None:
                _note_lines(node, (), lines, source)
            return (None if node is None else loader.construct_document(node)), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or error.context or "cannot be read"
        raise ConfigError(
            f"{source}{line}: not valid YAML: {problem}. Check indentation and brackets."
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, KeyError) as error:
        # Beside its own errors, the YAML library lets those of a malformed date or number through.
        problem = str(error).partition("\n")[0]
        raise ConfigError(f"{source}: not valid YAML: {problem[:200]}.") from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply to be a space.") from None


def _check_events(text: str, source: str) -> None:
    """Refuse what makes a small file take long or grow large, before a value of it is made."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{source}: aliases (*name) are not allowed in a space. Write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            line = f", line {event.start_mark.line + 1}" if event.start_mark else ""
            raise ConfigError(f"{source}{line}: nested too deeply to be a space.")


def _note_lines(node: yaml.Node, place: Place, lines: dict[Place, int], source: str) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), lines, source)
    elif node.tag == "tag:yaml.org,2002:int" and len(node.value) > _MOST_DIGITS:
        raise ConfigError(  # Python refuses to print what may have more than 4300 digits
            f"{source}, line {node.start_mark.line + 1}: a number must have at most {_MOST_DIGITS} digits; "
            f"got {len(node.value)}."
        )
    elif isinstance(node, yaml.ScalarNode) and any("\ud800" <= letter <= "\udfff" for letter in node.value):
        raise ConfigError(
            f"{source}, line {node.start_mark.line + 1}: half a surrogate pair: {node.value!r:.60}."
        )
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*place, str(key.value))
            if below in lines:
                raise ConfigError(
                    f"{source}, line {key.start_mark.line + 1}: `{_dotted(below)}` is there twice "
                    f"(first in line {lines[below]}). Keep one."
                )
            lines[below] = key.start_mark.line + 1
            _note_lines(value, below, lines, source)


def _explain(error: ValidationError, source: str, lines: Lines) -> str:
    """One sentence an error, in the order of the lines."""
    found = []
    for details in error.errors(include_url=False):
        place: Place = tuple(details["loc"])
        sentence = _sentence(place, details)
        line = _line_of(place, lines)
        found.append((line or 0, f"{source}{f', line {line}' if line else ''}: {sentence}"))
    found.sort(key=lambda pair: pair[0])
    shown = [text for _, text in found[:_SHOWN_ERRORS]]
    rest = len(found) - len(shown)
    return "\n".join([*shown, *([f"... and {rest} more."] if rest else [])])


def _sentence(place: Place, details: Any) -> str:
    key = _dotted(place)
    if details["type"] == "extra_forbidden":
        known = valid_keys(place[:-1])
        where = f" in `{_dotted(place[:-1])}`" if len(place) > 1 else ""
        meant = did_you_mean(str(place[-1]), known)
        return f"unknown key `{place[-1]}`{where}.{meant} Valid: {', '.join(known)}."
    if details["type"] == "missing":
        return f"`{key}` is missing. `mpsearch space show digits` prints a complete example."
    if details["type"] == "value_error":
        named = re.match(r"`(\w+)` must", details["msg"].removeprefix("Value error, "))
        inner = f"{key}.{named[1]}" if named and place == ("trial",) else key
        return f"`{inner}`: {details['msg'].removeprefix('Value error, ')}"
    rule = details["msg"].replace("Input should be", "must be").replace("should have", "must have")
    rule = rule.replace("input was not a valid", "must be a valid")
    return f"`{key}` {rule}; got {details['input']!r:.100}."


def _line_of(place: Place, lines: Lines) -> int | None:
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return None


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
