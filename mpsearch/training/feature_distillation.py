"""Learning from what lies inside the 32-bit model, beside its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from mpsearch.models.model_trace import ModelTrace
from mpsearch.training.loop import widened


@dataclass(frozen=True, slots=True)
class FeaturePoint:
    """The input or the output of a module."""

    module: str
    side: Literal["input", "output"]


def feature_points(trace: ModelTrace) -> tuple[FeaturePoint, ...]:
    """Outputs of the layers and BatchNorms that an addition reads, and the input of the last layer.

    Of a model without a graph, the input of the last layer only.
    """
    points: dict[FeaturePoint, None] = {}
    last = [layer.name for layer in trace.layers]
    if trace.graph is not None:
        nodes = trace.graph.nodes
        for node in nodes:
            if node.kind == "add":
                for before in map(trace.graph.node, node.inputs):
                    if before.kind in ("layer", "affine"):
                        points[FeaturePoint(before.layer or before.module, "output")] = None
        last = [node.layer for node in nodes if node.kind == "layer"]
    if last:
        points[FeaturePoint(last[-1], "input")] = None
    return tuple(points)


class FeatureDistance:
    """The mean over points of sum((student - teacher)^2) / sum(teacher^2).

    Source: hints: Romero et al. 2014, arXiv:1412.6550; here at every junction, relative to the teacher's
        size, and without a regressor, since both have the same shape.
    """

    def __init__(self, student: dict[FeaturePoint, Tensor], teacher: dict[FeaturePoint, Tensor]) -> None:
        self._student, self._teacher = student, teacher

    def __call__(self) -> Tensor:
        """Of the last call of both models."""
        distances = []
        for point, features in self._student.items():
            target = self._teacher[point].detach()
            distances.append((features - target).square().sum() / target.square().sum().clamp_min(1e-12))
        return sum(distances[1:], distances[0]) / len(distances)


@contextmanager
def watched(
    student: nn.Module, teacher: nn.Module, points: tuple[FeaturePoint, ...]
) -> Iterator[FeatureDistance | None]:
    """Hooks on both models, for as long as the context lasts; None without points."""
    if not points:
        yield None
        return
    seen: tuple[dict[FeaturePoint, Tensor], ...] = ({}, {})
    handles = [
        _watch(model.get_submodule(point.module), point, features)
        for model, features in zip((student, teacher), seen, strict=True)
        for point in points
    ]
    try:
        yield FeatureDistance(*seen)
    finally:
        for handle in handles:
            handle.remove()


def _watch(module: nn.Module, point: FeaturePoint, features: dict[FeaturePoint, Tensor]) -> Any:
    if point.side == "output":

        def note_output(_module: nn.Module, _args: Any, output: Tensor) -> None:
            features[point] = widened(output).clone()  # what follows may work in place

        return module.register_forward_hook(note_output)

    def note_input(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        features[point] = widened(args[0] if args else kwargs["input"]).clone()

    return module.register_forward_pre_hook(note_input, with_kwargs=True)
