"""One step of a compiled plan, as far as its cost goes: equal shapes cost the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mpsearch.errors import ConfigError
from mpsearch.models.graph import Size
from mpsearch.models.layer_shape import EXTRAS, Extra, LayerShape
from mpsearch.precision.scheme import Scheme, scheme_named

StepKind = Literal[
    "layer", "float_layer", "elementwise", "max_pool", "avg_pool", "subsample", "load", "store", "call"
]
STEP_KINDS: tuple[str, ...] = get_args(StepKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The formats in which a step writes its result: float32 or not, and so many images of each kind."""

    float32: bool = False
    byte_images: int = 0
    bit_images: int = 0

    def __post_init__(self) -> None:
        counts = (self.byte_images, self.bit_images)
        if type(self.float32) is not bool or any(type(count) is not int or count < 0 for count in counts):
            raise ConfigError(f"Outputs must be a flag and two counts; got {self}.")

    @property
    def images(self) -> int:
        return self.byte_images + self.bit_images


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """What the cost of a step depends on.

    layer        a packed layer from its activation image, with epilogue
    float_layer  a 32-bit layer in torch, float32 to float32
    elementwise  affine, residual, clamp and conversion of a float32 value
    max_pool, avg_pool, subsample   as the graph's nodes, the pools with epilogue
    load, store  the model's input into, its output out of the plan
    call         a packed layer called by torch, float32 to float32: outside any plan

    `size` is (height, width, channels) of what the step reads. `extras` of an elementwise step: what it finds
    out about the input of the layer whose image it fills; for a scale of each pixel with the layer's windows.

    Raises: ConfigError if the fields do not fit the kind.
    """

    kind: StepKind
    batch: int
    size: Size
    layer: LayerShape | None = None
    scheme: Scheme | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    out_channels: int = 0
    residual: bool = False
    outputs: Outputs = Outputs(float32=True)
    extras: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in STEP_KINDS:
            raise ConfigError(f"`kind` of a step must be one of {', '.join(STEP_KINDS)}; got {self.kind!r}.")
        pairs = (self.kernel, self.stride, self.padding)
        least = (self.batch, *self.size, *self.kernel, *self.stride, *(part + 1 for part in self.padding))
        whole = all(type(size) is int and size > 0 for size in (*least, self.out_channels + 1))
        if not whole or len(self.size) != 3 or any(len(pair) != 2 for pair in pairs):
            raise ConfigError(f"Sizes of a step must be positive whole numbers; got {asdict(self)}.")
        if type(self.residual) is not bool:
            raise ConfigError(f"`residual` of a step must be true or false; got {self.residual!r}.")
        is_layer = self.kind in ("layer", "float_layer", "call")
        if is_layer != (self.layer is not None) or is_layer != (self.scheme is not None):
            raise ConfigError(f"A step of a layer, and no other, has a layer and a scheme; got {self}.")
        if self.scheme is not None and self.kind != "call":
            wanted = "float_layer" if self.scheme.is_full_precision else "layer"
            if self.kind != wanted:
                raise ConfigError(f"A layer at {self.scheme} is a step {wanted!r}; got {self.kind!r}.")
        if type(self.extras) is not tuple or not set(self.extras) <= set(EXTRAS):
            raise ConfigError(f"`extras` of a step must be some of {', '.join(EXTRAS)}; got {self.extras!r}.")
        if self.extras and self.kind != "elementwise":
            raise ConfigError(f"The extras of a layer are those of its shape; got {self.extras} of a step.")
        if not (self.outputs.float32 or self.outputs.images):
            raise ConfigError(f"A step must write its result in some format; got {self.outputs}.")
        if min(self.out_size) < 1:
            raise ConfigError(f"The kernel must fit the padded input; got {asdict(self)}.")

    @property
    def out_size(self) -> Size:
        """(height, width, channels) of what the step writes."""
        if self.layer is not None:
            return (*self.layer.out_spatial, self.layer.out_channels)
        height, width, channels = self.size
        if self.kind in ("max_pool", "avg_pool", "subsample"):
            sizes = zip((height, width), self.kernel, self.stride, self.padding, strict=True)
            height, width = ((size + 2 * p - k) // s + 1 for size, k, s, p in sizes)
        return height, width, self.out_channels or channels

    def to_dict(self) -> dict[str, Any]:
        """A JSON object without the fields that are at their default; `from_dict` is its inverse."""
        fields = asdict(self)
        fields["layer"] = None if self.layer is None else self.layer.to_dict()
        fields["scheme"] = None if self.scheme is None else self.scheme.name
        fields["outputs"] = {key: value for key, value in fields["outputs"].items() if value}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
        return {key: value for key, value in plain.items() if value not in _DEFAULTS.get(key, ())}

    @classmethod
    def from_dict(cls, fields: Any) -> StepShape:
        """Raises: ConfigError if it is not what `to_dict` writes."""
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            if "layer" in values:
                values["layer"] = LayerShape.from_dict(values["layer"])
            if "scheme" in values:
                values["scheme"] = scheme_named(values["scheme"])
            if "outputs" in values:
                values["outputs"] = Outputs(**values["outputs"])
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"Not a step: {fields!r:.300} ({error}).") from error

    def __str__(self) -> str:
        height, width, channels = self.size
        what = f"{self.scheme} {self.layer}" if self.layer is not None else f"{channels} on {height}x{width}"
        writes = [name for name, on in (("float32", self.outputs.float32),) if on]
        writes += [f"{self.outputs.byte_images} byte"] if self.outputs.byte_images else []
        writes += [f"{self.outputs.bit_images} bit"] if self.outputs.bit_images else []
        extras = "".join(f" {extra.replace('_', ' ')}" for extra in self.extras)
        return f"{self.kind} {what}{extras}{' + residual' if self.residual else ''} to {', '.join(writes)}"


def call_step(shape: LayerShape, scheme: Scheme) -> StepShape:
    """A layer called by torch, outside any plan."""
    size = (*shape.spatial, shape.in_channels)
    return StepShape(kind="call", batch=shape.batch, size=size, layer=shape.at(scheme), scheme=scheme)


_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "layer": (None,),
    "scheme": (None,),
    "kernel": ([1, 1],),
    "stride": ([1, 1],),
    "padding": ([0, 0],),
    "out_channels": (0,),
    "residual": (False,),
    "outputs": ({"float32": True},),
    "extras": ([],),
}
