"""Binary weights whose gradient is chosen by name."""

from __future__ import annotations

from torch import Tensor

from mpsearch.quant.chosen_slopes import chosen_slopes
from mpsearch.quant.quantizer import WeightQuantizer
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sign_slope import ANNEALED, sign_slope


class SlopedSign(WeightQuantizer):
    """What signs of weights share whose slope is one of `sign_slope`: that of u = w / scale.

    With `identity`, the default, the gradient reaches w unchanged.
    """

    gradient: SignGradient = "identity"
    progress: float = 0.0

    @property
    def is_annealed(self) -> bool:
        return self.gradient in ANNEALED

    def anneal(self, t: float) -> None:
        if self.is_annealed:  # what no gradient asks for would only tell quantizers of one kind apart
            self.progress = t

    def sloped(self, weight: Tensor, scale: Tensor) -> Tensor:
        """The weights, whose gradient is multiplied by the slope.

        Shape: weight (N, *), scale (N, 1, ..., 1) -> (N, *).
        """
        if self.gradient == "identity":
            return weight
        u = weight.detach() / scale.detach()
        slope = sign_slope(self.gradient)(u, self.progress)
        return chosen_slopes(weight, None, weight.detach(), by_weight=slope)
