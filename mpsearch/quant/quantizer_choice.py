"""Which quantizer of each family a model's layers take: names only, without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_type_hints

from mpsearch.errors import ConfigError
from mpsearch.models.layer_shape import Extra

Binary = Literal["bwn", "bwn_through_scale", "binary_connect", "elastic", "xnor_plus_plus", "ir_net"]
Ternary = Literal["twn", "twn_learnt", "absmean", "threshold", "seq", "ttq"]
Uniform = Literal["lsq", "minmax", "dorefa"]
BinaryActivation = Literal["rsign", "sign", "xnor"]
SignGradient = Literal["identity", "clipped", "approx_sign", "tanh", "swish", "ede"]
Activation = Literal[
    "lsq", "lsq_plus", "pact", "minmax", "dorefa", "per_token", "ternary", "ternary_threshold"
]
OWN_GRADIENT: tuple[Binary, ...] = ("xnor_plus_plus", "ir_net")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerChoice:
    """The member of each family, by name; docs/quantizers.md has their formulas.

    binary             weights of 1 bit
    binary_gradient    what the backward pass takes for the slope of their sign; not for those of
                       `OWN_GRADIENT`, which bring their paper's
    ternary            weights of 1.58 bits
    uniform            weights of 4 and 8 bits
    binary_activation  inputs of 1 bit
    sign_gradient      what the backward pass takes for the slope of the sign of an input of 1 bit
    activation         inputs of 8 bits

    Raises: ConfigError if a name is unknown.
    """

    binary: Binary = "bwn"
    binary_gradient: SignGradient = "identity"
    ternary: Ternary = "twn"
    uniform: Uniform = "lsq"
    binary_activation: BinaryActivation = "rsign"
    sign_gradient: SignGradient = "clipped"
    activation: Activation = "lsq"

    def __post_init__(self) -> None:
        families = get_type_hints(QuantizerChoice)
        for field in fields(self):
            known, name = get_args(families[field.name]), getattr(self, field.name)
            if name not in known:
                raise ConfigError(f"`{field.name}` must be one of {', '.join(known)}; got {name!r}.")
        if self.binary in OWN_GRADIENT and self.binary_gradient != "identity":
            raise ConfigError(
                f"`binary: {self.binary}` has a gradient of its own; got `binary_gradient: "
                f"{self.binary_gradient}`. Leave it out, or choose another `binary`."
            )

    @property
    def extras(self) -> tuple[Extra, ...]:
        """What layers compute beside their schemes, at those that it applies to."""
        found: dict[Extra, bool] = {
            "two_scales": self.ternary == "ttq",
            "token_scale": self.activation == "per_token",
            "pixel_scale": self.binary_activation == "xnor",
            "ternary_input": self.activation in ("ternary", "ternary_threshold"),
        }
        return tuple(extra for extra, is_on in found.items() if is_on)


STANDARD = QuantizerChoice()
