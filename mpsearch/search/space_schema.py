"""The form of a space file, checked by pydantic; nothing of it leaves the loader."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, create_model, model_validator

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES, Scheme, scheme_named
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import OBJECTIVES, objective_named, objectives_named
from mpsearch.search.quantities import parse_duration_s
from mpsearch.search.samplers import sampler_named
from mpsearch.search.sensitivity import require_sensitivity
from mpsearch.search.space import SPACE_SCHEMA, SearchSettings
from mpsearch.search.widths import WIDTH_ARGUMENT, Widths
from mpsearch.training.recipe import TrialRecipe


class Strict(BaseModel):
    """No unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _checked_scheme(value: Any) -> Any:
    if isinstance(value, str):
        _explained(scheme_named, value)
    return value


def _checked_sampler(value: Any) -> Any:
    if isinstance(value, str):
        _explained(sampler_named, value)
    return value


def _checked_repeats(value: Any) -> Any:
    if value is False:  # what YAML makes of a bare `off`
        return "off"
    if value not in {"auto", "off"}:
        raise ValueError("repeats must be auto or off")
    return value


def _checked_sensitivity(value: Any) -> Any:
    if isinstance(value, str):
        _explained(require_sensitivity, value)
    return value


def _explained(check: Any, *args: Any) -> Any:
    """Pydantic reports a ValueError at its key, where a ConfigError would fly through."""
    try:
        return check(*args)
    except ConfigError as error:
        raise ValueError(str(error)) from error


SchemeName = Annotated[str, BeforeValidator(_checked_scheme)]


class TaskForm(Strict):
    name: str = Field(min_length=1)
    args: dict[str, JsonValue] = {}


Width = Annotated[int | float, Field(gt=0, allow_inf_nan=False)]


class WidthsForm(Strict):
    argument: str = Field(default=WIDTH_ARGUMENT, min_length=1)
    values: list[Width]

    @model_validator(mode="after")
    def _are_several(self) -> WidthsForm:
        _explained(Widths.of, self.values, self.argument)
        return self


def _widths_of_list(value: Any) -> Any:
    return {"values": value} if isinstance(value, list) else value


class RuleForm(Strict):
    match: str = Field(default="*", min_length=1)
    operator: str | None = Field(default=None, min_length=1)
    pin: SchemeName | None = None
    schemes: list[SchemeName] | None = Field(default=None, min_length=1)
    group: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _has_one_answer(self) -> RuleForm:
        if (self.pin is None) == (self.schemes is None):
            raise ValueError(
                f"A rule must have either `pin: SCHEME` or `schemes: [...]` of {', '.join(SCHEMES)}; "
                f"got {'neither' if self.pin is None else 'both'}."
            )
        if self.schemes is not None and len(set(self.schemes)) != len(self.schemes):
            raise ValueError(f"Each scheme must be named once; got {', '.join(self.schemes)}.")
        return self

    def allowed(self) -> tuple[Scheme, ...]:
        """Lowest precision first, however they were written."""
        names = [self.pin] if self.schemes is None else self.schemes
        return tuple(scheme for name, scheme in SCHEMES.items() if name in names)


def _checked_budget(name: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, (str, int, float)) and value is not None:
            raise ValueError("a budget must be a quantity with its unit, such as 60KB, 400us, 5uJ or 90%")
        _explained(Budgets.parse, {name: value})
        return value

    return BeforeValidator(check)


_BUDGETS: Any = {name: (Annotated[Any, _checked_budget(name)], None) for name in OBJECTIVES}
BudgetsForm = create_model("BudgetsForm", __base__=Strict, **_BUDGETS)
_MOST_BUDGETS = 100


def _checked_layers(value: Any) -> Any:
    """Layers of an `nn.Sequential` are named by numbers, which YAML reads as such."""
    if not isinstance(value, dict):
        return value
    return {str(key) if type(key) is int else key: below for key, below in value.items()}


LayerName = Annotated[str, Field(min_length=1)]


class OverridesForm(Strict):
    pin: Annotated[dict[LayerName, SchemeName], BeforeValidator(_checked_layers)] = {}
    forbid: Annotated[
        dict[LayerName, Annotated[list[SchemeName], Field(min_length=1)]], BeforeValidator(_checked_layers)
    ] = {}


class _TrialBase(Strict):
    @model_validator(mode="after")
    def _is_a_recipe(self) -> _TrialBase:
        _explained(lambda: TrialRecipe(**self.model_dump()))
        return self


def _tuple_of_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_RECIPE_TYPES = {
    **get_type_hints(TrialRecipe),
    "fidelities": Annotated[tuple[float, ...], BeforeValidator(_tuple_of_list)],
}
_TRIAL: Any = {field.name: (_RECIPE_TYPES[field.name], field.default) for field in fields(TrialRecipe)}
TrialForm = create_model("TrialForm", __base__=_TrialBase, **_TRIAL)


def _checked_duration(value: Any) -> Any:
    if not isinstance(value, str) and value is not None:
        raise ValueError("a time must be a text with its unit, such as 90s, 10m or 2h")
    if value is not None:
        _explained(parse_duration_s, value)
    return value


class SearchForm(Strict):
    sampler: Annotated[str, BeforeValidator(_checked_sampler)] = "mpsearch"
    sensitivity: Annotated[str, BeforeValidator(_checked_sensitivity)] = "loss"
    repeats: Annotated[str, BeforeValidator(_checked_repeats)] = "auto"
    trials: int = Field(default=40, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    workers: int = Field(default=1, ge=0, le=1024)
    batch: int = Field(default=1, ge=1, le=256)
    trial_timeout: Annotated[str | None, BeforeValidator(_checked_duration)] = None

    def settings(self) -> SearchSettings:
        fields = self.model_dump()
        limit = fields.pop("trial_timeout")
        return SearchSettings(**fields, trial_timeout_s=None if limit is None else parse_duration_s(limit))


def _checked_objectives(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        _explained(objectives_named, value)
    return value


class SpaceForm(Strict):
    # `schema` would hide a method of pydantic's.
    schema_: int = Field(default=SPACE_SCHEMA, alias="schema")
    name: str | None = Field(default=None, min_length=1)
    task: TaskForm
    widths: Annotated[WidthsForm | None, BeforeValidator(_widths_of_list)] = None
    layers: list[RuleForm] = Field(min_length=1)
    objectives: Annotated[list[str], BeforeValidator(_checked_objectives)] = ["accuracy", "latency", "memory"]
    budgets: BudgetsForm = Field(default_factory=BudgetsForm)  # type: ignore[valid-type]
    overrides: OverridesForm = OverridesForm()
    trial: TrialForm = Field(default_factory=TrialForm)  # type: ignore[valid-type]
    search: SearchForm = SearchForm()


def space_form(budgets: Any) -> type[SpaceForm]:
    """The form of a space whose budgets, as they were read, may name further devices: `latency@pi5`.

    Raises: ConfigError if they are too many.
    """
    further = [name for name in budgets if _is_of_device(name)] if isinstance(budgets, dict) else []
    if len(further) > _MOST_BUDGETS:
        raise ConfigError(f"A space must have at most {_MOST_BUDGETS} budgets; got {len(further)}.")
    if not further:
        return SpaceForm
    own: Any = {name: (Annotated[Any, _checked_budget(name)], None) for name in further}
    form: Any = create_model("BudgetsForm", __base__=BudgetsForm, **own)
    return create_model("SpaceForm", __base__=SpaceForm, budgets=(form, Field(default_factory=form)))


def _is_of_device(name: Any) -> bool:
    try:
        return isinstance(name, str) and objective_named(name).device is not None
    except ConfigError:
        return False


# Where each form stands, for the keys that are valid there; * is any place of a list.
FORMS: dict[tuple[str, ...], type[BaseModel]] = {
    (): SpaceForm,
    ("task",): TaskForm,
    ("widths",): WidthsForm,
    ("layers", "*"): RuleForm,
    ("budgets",): BudgetsForm,
    ("overrides",): OverridesForm,
    ("trial",): TrialForm,
    ("search",): SearchForm,
}


def valid_keys(place: tuple[str | int, ...]) -> list[str]:
    """The keys of the form at that place of a space."""
    form = FORMS[tuple("*" if isinstance(part, int) else part for part in place)]
    return [info.alias or name for name, info in form.model_fields.items()]
