"""Eight-bit activations with a learnt clipping value."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from mpsearch.quant.int8_activation import LsqActivation
from mpsearch.quant.ste import scale_grad
from mpsearch.quant.uniform_grid import round_to_grid


class PactActivation(LsqActivation):
    """Learn where to clip: alpha = s * high.

    y = s * clip(round(x / s), low, high). x gets g where s * low < x < alpha, else 0; alpha gets the sum of g
    over the inputs at or above it, and rounding errors teach it nothing. Inputs that can be negative, which
    the paper has not, are clipped at s * low = -alpha * 128 / 127 too, and there add g * low / high. The
    parameter is log s, whose gradient is alpha times that, over sqrt(n), n the inputs of one sample: with
    Adam the factors matter little. The paper's L2 penalty on alpha is left out: calibration starts alpha near
    the least error, not at 10.

    Shape: x of any shape.
    Source: Choi et al. 2018, arXiv:1805.06085.
    """

    def forward(self, x: Tensor) -> Tensor:
        grid = replace(self.grid(), slack=0.0, learns_inside=False)
        return round_to_grid(x, scale_grad(self.scale, max(x[0].numel(), 1) ** -0.5), grid)
