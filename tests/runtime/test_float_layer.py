"""32-bit layers on values that are channels last, against the same layers on torch's own order."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from mpsearch.runtime.float_layer import FloatLayer

# Input channels, output channels, groups, kernel, stride, padding, dilation.
CONVOLUTIONS = {
    "plain": (3, 5, 1, (3, 3), (1, 1), (1, 1), (1, 1)),
    "grouped": (4, 6, 2, (1, 3), (2, 1), (0, 2), (1, 2)),
    "depthwise": (4, 4, 4, (3, 2), (1, 2), (1, 1), (1, 1)),
    "one channel": (1, 4, 1, (2, 3), (1, 1), (1, 1), (1, 1)),
    "one channel to one column": (1, 4, 1, (3, 5), (1, 3), (1, 2), (1, 1)),
    "one channel to one, to one column": (1, 1, 1, (3, 5), (1, 3), (1, 2), (2, 1)),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_convolution_on_channels_last_values_is_that_in_double_precision(case):
    torch.manual_seed(0)
    inputs, outputs, groups, kernel, stride, padding, dilation = CONVOLUTIONS[case]
    module = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups)
    for batch, size in itertools.product((1, 2, 5), ((9, 2), (5, 3))):
        x = torch.randn(batch, inputs, *size)
        with torch.inference_mode():
            expected = module.double()(x.double())
            module.float()
            source = np.empty((batch, *size, inputs), np.float32)  # no view: strides count where a size is 1
            source[:] = x.permute(0, 2, 3, 1).numpy()
            result = np.empty(expected.permute(0, 2, 3, 1).shape, np.float32)
            FloatLayer(module, None).bind(source, result)()
        torch.testing.assert_close(
            torch.from_numpy(result).permute(0, 3, 1, 2).double(), expected, rtol=1e-5, atol=1e-5
        )
