import numpy as np
import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.kernels.epilogue import batch_norm_affine
from mpsearch.runtime.batch_norm import batch_norm_constants


def random_batch_norm(kind=nn.BatchNorm2d, *, affine=True):
    torch.manual_seed(0)
    module = kind(301, affine=affine, eps=1e-3).eval()
    nn.init.normal_(module.running_mean)
    nn.init.uniform_(module.running_var, 1e-4, 4)
    if affine:
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)
    return module


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_constants_are_those_of_the_formula_to_the_bit(kind, affine):
    module = random_batch_norm(kind, affine=affine)
    expected = batch_norm_affine(
        weight=module.weight.detach().numpy() if affine else None,
        bias=module.bias.detach().numpy() if affine else None,
        mean=module.running_mean.numpy(),
        variance=module.running_var.numpy(),
        epsilon=module.eps,
    )
    for got, wanted in zip(batch_norm_constants(module), expected, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, wanted)


def test_constants_do_not_change_with_the_module_afterwards():
    module = random_batch_norm()
    multiplier, offset = batch_norm_constants(module)
    kept = multiplier.copy(), offset.copy()
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.running_mean)
    np.testing.assert_array_equal(multiplier, kept[0])
    np.testing.assert_array_equal(offset, kept[1])


@pytest.mark.parametrize("module", [nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(1, 3)])
def test_other_modules_are_refused(module):
    with pytest.raises(
        ConfigError, match=f"BatchNorm with running statistics.*got a {type(module).__name__}"
    ):
        batch_norm_constants(module)
