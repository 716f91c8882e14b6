"""How much the loss grows with each choice lowered: a family of methods, and what one of them has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mpsearch.errors import ConfigError, FormatError
from mpsearch.precision.scheme import Scheme
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.proxy import Proxy
from mpsearch.search.resolve import ResolvedSpace

if TYPE_CHECKING:
    from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe

NO_SENSITIVITY = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityMethod:
    """`measure` looks at the trained model; `says` is what its numbers are."""

    measure: Callable[[SensitivityProbe, OnProgress], Added]
    says: str


def _loss(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    from mpsearch.training.sensitivity.one_layer_loss import one_layer_losses  # noqa: PLC0415 - torch

    return one_layer_losses(probe, on_progress)


def _gradient(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    from mpsearch.training.sensitivity.output_gradient import output_gradients  # noqa: PLC0415

    return output_gradients(probe, on_progress)


def _hessian(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    from mpsearch.training.sensitivity.hessian_trace import hessian_traces  # noqa: PLC0415

    return hessian_traces(probe, on_progress)


def _supernet(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    from mpsearch.training.sensitivity.supernet import supernet_losses  # noqa: PLC0415

    return supernet_losses(probe, on_progress)


def _sqnr(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    from mpsearch.training.sensitivity.output_noise import output_noises  # noqa: PLC0415

    return output_noises(probe, on_progress)


SENSITIVITIES: dict[str, SensitivityMethod] = {
    "loss": SensitivityMethod(measure=_loss, says="loss of one layer lowered, calibrated, not trained"),
    "gradient": SensitivityMethod(
        measure=_gradient, says="squared gradient times change of the output (Fisher)"
    ),
    "hessian": SensitivityMethod(
        measure=_hessian, says="trace of the Hessian times squared change (HAWQ-v2)"
    ),
    "supernet": SensitivityMethod(measure=_supernet, says="loss of one layer lowered in a trained supernet"),
    "sqnr": SensitivityMethod(measure=_sqnr, says="noise of the layer's output over its signal"),
}


def require_sensitivity(name: str) -> str:
    """The name, if it is that of a method, or `none`.

    Raises: ConfigError if not.
    """
    known = [*SENSITIVITIES, NO_SENSITIVITY]
    if name not in known:
        raise ConfigError(
            f"A sensitivity must be one of {', '.join(known)}; got {name!r}.{did_you_mean(name, known)}"
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthSensitivity:
    """At one width of the model (None in a space without widths).

    `baseline` is the key of the 32-bit weights, `loss` theirs on the validation split. `added`: choice ->
    scheme -> what it adds to the loss, at least 0.
    """

    width: float | None
    baseline: str
    loss: float
    added: Mapping[str, Mapping[Scheme, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What a method found of a run's model, from how many samples at most, in how many seconds."""

    method: str
    samples: int
    seconds: float
    widths: tuple[WidthSensitivity, ...]

    def is_of(self, baselines: Sequence[str]) -> bool:
        """Whether it was found with these 32-bit weights, by key."""
        return [found.baseline for found in self.widths] == list(baselines)

    def added(self, choice: str) -> dict[Scheme, float]:
        """Scheme -> the mean over widths of what it adds.

        Raises: FormatError if the choice is not there.
        """
        try:
            of_widths = [found.added[choice] for found in self.widths]
            return {scheme: float(np.mean([found[scheme] for found in of_widths])) for scheme in of_widths[0]}
        except KeyError as error:
            raise FormatError(
                f"The sensitivities of {self.method!r} must be of this run's space; there is none of "
                f"{choice!r} at {error}. Remove sensitivity.json: a search finds them out anew."
            ) from error

    def proxy(self, resolved: ResolvedSpace) -> Proxy:
        """The sum over choices. Where the width is a choice, it adds what its 32-bit model loses.

        Raises: FormatError if it is of another space.
        """
        losses = []
        for choice in resolved.choices:
            found = self.added(choice.name)
            missing = [scheme for scheme in choice.schemes if scheme not in found]
            if missing:
                raise FormatError(
                    f"The sensitivities of {self.method!r} must be of this run's space; there is none of "
                    f"{choice.name!r} at {missing[0]}. Remove sensitivity.json: a search finds them out anew."
                )
            losses.append(np.array([found[scheme] for scheme in choice.schemes]))
        if resolved.widths:
            of_width = {found.width: found.loss for found in self.widths}
            if set(of_width) != set(resolved.widths):
                raise FormatError(
                    f"The sensitivities of {self.method!r} must be of this run's widths; got those of "
                    f"{', '.join(map(str, of_width))}. Remove sensitivity.json: a search finds them out anew."
                )
            baseline = np.array([of_width[width] for width in resolved.widths])
            losses.append(baseline - baseline.min())
        return Proxy(losses=tuple(losses), method=self.method)
