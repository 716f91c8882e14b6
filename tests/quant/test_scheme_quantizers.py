import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import torch

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.quant.quantizer import WeightQuantizer
from mpsearch.quant.quantizer_choice import (
    OWN_GRADIENT,
    STANDARD,
    Activation,
    Binary,
    BinaryActivation,
    QuantizerChoice,
    SignGradient,
    Ternary,
    Uniform,
)
from mpsearch.quant.scheme_quantizers import (
    ACTIVATIONS,
    BINARY,
    BINARY_ACTIVATIONS,
    TERNARY,
    UNIFORM,
    scheme_quantizers,
)
from mpsearch.quant.sign_slope import SIGN_SLOPES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quantizers.md"
WEIGHT_FAMILIES = {
    "binary": (Binary, BINARY, "w1a8"),
    "ternary": (Ternary, TERNARY, "w1.58a8"),
    "uniform": (Uniform, UNIFORM, "w4a8"),
}
# What the names of each family stand for.
FAMILIES = {
    **{family: (names, makers) for family, (names, makers, _) in WEIGHT_FAMILIES.items()},
    "activation": (Activation, ACTIVATIONS),
    "binary_activation": (BinaryActivation, BINARY_ACTIVATIONS),
    "sign_gradient": (SignGradient, SIGN_SLOPES),
}


def rows_of(family):
    """The names that the page's table of a family explains."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f": `{family}`\n")
    return re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.M)


def test_every_choice_but_the_second_use_of_the_slopes_is_a_family():
    assert {field.name for field in fields(QuantizerChoice)} == {*FAMILIES, "binary_gradient"}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_name_of_a_family_stands_for_something_and_has_a_row_in_the_documentation(family):
    names, made = FAMILIES[family]
    assert set(made) == set(get_args(names))
    assert sorted(rows_of(family)) == sorted(get_args(names))


@pytest.mark.parametrize("family", WEIGHT_FAMILIES)
def test_each_name_makes_a_quantizer_of_its_own(family):
    names, _, scheme = WEIGHT_FAMILIES[family]
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    made = {
        name: scheme_quantizers(SCHEMES[scheme], QuantizerChoice(**{family: name})).weight(weight)
        for name in get_args(names)
    }
    assert all(isinstance(quantizer, WeightQuantizer) for quantizer in made.values())
    described = {
        (type(quantizer).__name__, str(vars(quantizer).get("through_scale"))) for quantizer in made.values()
    }
    assert len(described) == len(made)


@pytest.mark.parametrize(("scheme", "family"), [("w1a1", "binary"), ("w8a8", "uniform")])
def test_schemes_of_like_weights_share_a_family(scheme, family):
    names, _, other = WEIGHT_FAMILIES[family]
    choice = QuantizerChoice(**{family: get_args(names)[-1]})
    weight = torch.ones(2, 2)
    of_both = [scheme_quantizers(SCHEMES[name], choice).weight(weight) for name in (scheme, other)]
    assert type(of_both[0]) is type(of_both[1])


@pytest.mark.parametrize("name", sorted({*get_args(Binary)} - {*OWN_GRADIENT}))
def test_the_slope_of_the_sign_reaches_every_binary_quantizer_that_has_none_of_its_own(name):
    choice = QuantizerChoice(binary=name, binary_gradient="approx_sign")
    weight = torch.full((1, 4), 0.5).requires_grad_()
    quantizer = scheme_quantizers(SCHEMES["w1a8"], choice).weight(weight.detach())
    quantizer(weight).sum().backward()
    at = 0.5 / quantizer.quantize(weight.detach())[1]
    by_scale = 1.0 if name == "bwn_through_scale" else 0.0
    torch.testing.assert_close(weight.grad, (2 - 2 * at + by_scale).expand(1, 4))


@pytest.mark.parametrize("name", OWN_GRADIENT)
def test_a_quantizer_with_a_gradient_of_its_own_takes_no_other(name):
    with pytest.raises(ConfigError, match=rf"`binary: {name}` has a gradient of its own; .* Leave it out"):
        QuantizerChoice(binary=name, binary_gradient="clipped")


def test_the_bits_of_the_scheme_reach_a_uniform_quantizer():
    weight = torch.linspace(-1, 1, 4001)[None]
    for scheme, levels in (("w4a8", 16), ("w8a8", 256)):
        quantizer = scheme_quantizers(SCHEMES[scheme], STANDARD).weight(weight)
        assert levels / 2 < len(quantizer(weight).unique()) <= levels


def test_32_bits_have_no_quantizers():
    with pytest.raises(ConfigError, match="Only schemes below 32 bits"):
        scheme_quantizers(FULL_PRECISION, STANDARD)
