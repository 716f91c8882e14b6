"""The steps that compute a model under a policy: what the runtime runs, and what the cost model prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mpsearch.models.graph import Size
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.fusion import FusedGraph, Group, takes_image, writes_images
from mpsearch.plan.step import Outputs, StepShape
from mpsearch.precision.scheme import Scheme

ReaderFormat = Literal["float32", "bytes", "bits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a group.

    It reads the float32 value `source` (a group's name; None: the layer's own image, or the model's input),
    writes the group's float32 value if `writes_value`, and the activation images of the layer groups
    `images`. `has_epilogue`: the group's epilogue is computed in this step.
    """

    group: Group
    shape: StepShape
    source: str | None
    writes_value: bool
    images: tuple[str, ...]
    has_epilogue: bool


def compile_plan(fused: FusedGraph, schemes: Mapping[str, Scheme], *, batch: int) -> tuple[Step, ...]:
    """All steps of one forward pass, in order. `schemes`: layer name -> its scheme."""
    steps = [step for group in fused.groups for step in group_steps(fused, group, schemes, batch=batch)]
    return (*steps, store_step(fused, batch=batch))


def store_step(fused: FusedGraph, *, batch: int) -> Step:
    """The last step of every plan."""
    output = fused.group(fused.output)
    return Step(
        group=output,
        shape=StepShape(kind="store", batch=batch, size=output.size),
        source=output.name,
        writes_value=False,
        images=(),
        has_epilogue=False,
    )


def group_steps(
    fused: FusedGraph, group: Group, schemes: Mapping[str, Scheme], *, batch: int
) -> tuple[Step, ...]:
    """The steps of one group: they depend on its own scheme and on those of its readers, on no other.

    A packed layer's image is filled by its producer where that can, otherwise by a step of its own. A 32-bit
    layer is a torch call; its epilogue and its readers' images are a step after it, whose `source` is the
    group itself: the torch call's result. Flattening copies nothing, so it has no step.
    """
    filled = tuple(reader for reader in group.readers if _is_filled(fused, group, reader, schemes))
    has_float_reader = group.is_read_as_float or len(filled) < len(group.readers)
    outputs = _outputs(fused, filled, schemes, float32=has_float_reader or not filled)
    size = group.head.size if group.source is None else fused.group(group.source).size

    def step(
        shape: StepShape, source: str | None, images: tuple[str, ...] = (), *, has_epilogue: bool = False
    ) -> Step:
        is_conversion = images == (group.name,)
        return Step(
            group=group,
            shape=shape,
            source=source,
            writes_value=shape.outputs.float32 and not is_conversion,
            images=images,
            has_epilogue=has_epilogue,
        )

    def elementwise(source: str | None, size: Size) -> Step:
        shape = StepShape(
            kind="elementwise",
            batch=batch,
            size=size,
            residual=group.residual is not None,
            outputs=outputs,
        )
        return step(shape, source, filled, has_epilogue=group.has_epilogue)

    head = group.head
    if head.kind == "flatten":
        return ()
    if head.kind == "input":
        return (step(StepShape(kind="load", batch=batch, size=size), None),)
    if head.kind == "subsample":
        shape = StepShape(
            kind="subsample", batch=batch, size=size, stride=head.stride, out_channels=head.size[2]
        )
        return (step(shape, group.source),)
    if head.kind in ("max_pool", "avg_pool"):
        shape = StepShape(
            kind="max_pool" if head.kind == "max_pool" else "avg_pool",
            batch=batch,
            size=size,
            kernel=head.kernel,
            stride=head.stride,
            padding=head.padding,
            residual=group.residual is not None,
            outputs=outputs,
        )
        return (step(shape, group.source, filled, has_epilogue=group.has_epilogue),)
    if head.shape is None:
        return (elementwise(group.source, size),)
    scheme = schemes[head.layer]
    layer = replace(head.shape, batch=batch).at(scheme)
    if scheme.is_full_precision:
        shape = StepShape(kind="float_layer", batch=batch, size=size, layer=layer, scheme=scheme)
        torch_call = step(shape, group.source)
        if not (group.has_epilogue or filled):
            return (torch_call,)
        return replace(torch_call, writes_value=False), elementwise(group.name, group.size)
    steps = []
    if group.source is not None and not _is_filled(fused, fused.group(group.source), group.name, schemes):
        own_image = _outputs(fused, (group.name,), schemes, float32=False)
        steps.append(step(_load_step(layer, size, own_image), group.source, (group.name,)))
    shape = StepShape(
        kind="layer",
        batch=batch,
        size=size,
        layer=layer,
        scheme=scheme,
        residual=group.residual is not None,
        outputs=outputs,
    )
    steps.append(step(shape, None, filled, has_epilogue=group.has_epilogue))
    return tuple(steps)


def _load_step(layer: LayerShape, size: Size, own_image: Outputs) -> StepShape:
    """The step that fills the image of a layer whose producer cannot."""
    extras = tuple(extra for extra in layer.extras if extra != "two_scales")
    step = StepShape(kind="elementwise", batch=layer.batch, size=size, outputs=own_image, extras=extras)
    if "pixel_scale" not in extras:
        return step
    return replace(step, kernel=layer.kernel, stride=layer.stride, padding=layer.padding)


def format_for_reader(fused: FusedGraph, producer: Group, reader: str, scheme: Scheme) -> ReaderFormat:
    """In which format the producer's step writes its value for the layer group `reader` at that scheme.

    What `group_steps` returns depends on the group's own scheme and on how many of its readers take which
    format.
    """
    shape = _shape_of(fused, reader).at(scheme)
    if scheme.is_full_precision or not (writes_images(producer) and takes_image(shape)):
        return "float32"
    return "bits" if _takes_bits(shape, scheme) else "bytes"


def _is_filled(fused: FusedGraph, producer: Group, reader: str, schemes: Mapping[str, Scheme]) -> bool:
    """Whether the producer's step writes the reader's activation image."""
    scheme = schemes[fused.group(reader).head.layer]
    return format_for_reader(fused, producer, reader, scheme) != "float32"


def _outputs(
    fused: FusedGraph, readers: tuple[str, ...], schemes: Mapping[str, Scheme], *, float32: bool
) -> Outputs:
    bits = sum(
        _takes_bits(_shape_of(fused, reader), schemes[fused.group(reader).head.layer]) for reader in readers
    )
    return Outputs(float32=float32, byte_images=len(readers) - bits, bit_images=bits)


def _shape_of(fused: FusedGraph, layer_group: str) -> LayerShape:
    shape = fused.group(layer_group).head.shape
    assert shape is not None
    return shape


def _takes_bits(shape: LayerShape, scheme: Scheme) -> bool:
    """A depthwise kernel takes 1-bit activations as bytes too."""
    return scheme.activation_bits == 1 and not shape.is_depthwise
