"""The fake-quantized model of a trial, from 32-bit weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mpsearch.models.model_trace import ModelTrace
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.fold_batch_norm import fold_batch_norm
from mpsearch.quant.layers import QuantLayer
from mpsearch.quant.swap import quantize_model
from mpsearch.training.layout import prepare_model
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.recipe_needs import graph_to_fold
from mpsearch.training.sparse_weights import SparseWeights, ternary_weights


def folded(model: nn.Module, policy: PrecisionPolicy, trace: ModelTrace) -> nn.Module:
    """A copy of the 32-bit model whose BatchNorms are folded into the layers that the policy quantizes.

    Raises: ConfigError if the model has no graph.
    """
    quantized = [name for name, scheme in policy.items() if not scheme.is_full_precision]
    return fold_batch_norm(model, graph_to_fold(trace), quantized)


def new_student(source: nn.Module, policy: PrecisionPolicy, recipe: TrialRecipe) -> nn.Module:
    """Quantized and, where the recipe says so, pruned, but not calibrated.

    Raises: ConfigError if the policy names an unknown layer, or one that cannot be quantized.
    """
    student = _quantized(source, policy, recipe)
    if recipe.prune:
        SparseWeights(ternary_weights(student), recipe.prune)
        # Once more: thresholds and first scales are fitted to the weights that are left.
        student = _quantized(_with_weights_of(student, source), policy, recipe)
    return student


def lowered(student: nn.Module, source: nn.Module, policy: PrecisionPolicy, recipe: TrialRecipe) -> nn.Module:
    """A student of another policy with the weights of the first; `source` is what both were made from."""
    return new_student(_with_weights_of(student, source), policy, recipe)


def _quantized(source: nn.Module, policy: PrecisionPolicy, recipe: TrialRecipe) -> nn.Module:
    return prepare_model(quantize_model(source, policy, recipe.quantizers))


def _with_weights_of(student: nn.Module, source: nn.Module) -> nn.Module:
    """A copy of `source`, which the student was made from, with the student's weights and statistics."""
    trained = copy.deepcopy(source)
    state = student.state_dict()
    trained.load_state_dict({name: state[name] for name in trained.state_dict()})
    return trained


@torch.no_grad()
def keep_learnt_quantizers(before: nn.Module, after: nn.Module) -> None:
    """Quantizers of the kind and bits that a layer had before take over what was learnt; others stay."""
    known = dict(before.named_modules())
    for name, layer in after.named_modules():
        earlier = known.get(name)
        if not isinstance(layer, QuantLayer) or not isinstance(earlier, QuantLayer):
            continue
        if layer.scheme == earlier.scheme:
            layer.weight_quantizer.load_state_dict(earlier.weight_quantizer.state_dict())
        if layer.scheme.activation_bits == earlier.scheme.activation_bits:
            layer.activation_quantizer.load_state_dict(earlier.activation_quantizer.state_dict())
