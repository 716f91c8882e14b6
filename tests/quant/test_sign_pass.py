import pytest
import torch

from mpsearch.errors import KernelError
from mpsearch.kernels.native import available_isas
from mpsearch.quant import native_memory
from mpsearch.quant.sign_pass import NATIVE_SLOPES, take_signs

TYPES = (torch.float32, torch.bfloat16)
SCALE, WINDOW = 0.37, 0.8

# Channels in runs that fill no vector, less than one, exactly one, many, and more than are ever repeated;
# one channel alone; nothing but channels; more runs than a chunk holds.
SHAPES = {
    "few channels": (3, 5, 7, 3),
    "one channel": (3, 1, 7, 5),
    "sixteen channels": (5, 16, 9, 3),
    "many odd channels": (2, 131, 3, 5),
    "one pixel": (3, 19, 1, 1),
    "large": (4, 24, 41, 23),
    "one large image": (1, 2, 190, 180),
}


def seeded(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(shape, dtype):
    """Inputs with some at their threshold, at the edge of the window, of all sizes; and the thresholds."""
    threshold = (seeded((shape[1], 1, 1), 2) / 3).bfloat16().float()  # what bfloat16 inputs can meet
    x = seeded(shape, 0)
    x[0] = threshold
    x.view(-1)[-3:] = torch.tensor([1e30, -1e30, -0.0])
    x[-1, 0].view(-1)[0] = threshold[0, 0, 0] + WINDOW
    return x.to(dtype), threshold


def both_ways(x, threshold, *, gradient, dtype, upstream=None):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    threshold = threshold.clone().requires_grad_()
    scale = torch.tensor(SCALE, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = take_signs(x, threshold, scale, torch.tensor(WINDOW), gradient=gradient, t=0.5)
    if upstream is None:
        upstream = seeded(x.shape, 1)
    y.backward(upstream.to(y.dtype))
    return y.detach(), x.grad, threshold.grad, scale.grad


def in_torch(monkeypatch, *given, **settings):
    with monkeypatch.context() as patch:
        patch.setattr(native_memory, "NATIVE_TYPES", ())
        return both_ways(*given, **settings)


def assert_same(native, torched):
    for left, right in zip(native[:2], torched[:2], strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    for left, right in zip(native[2:], torched[2:], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("gradient", NATIVE_SLOPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("isa", available_isas())
def test_the_native_pass_equals_that_in_torch(monkeypatch, isa, shape, gradient, order):
    for given in TYPES:
        for dtype in TYPES:
            x, threshold = inputs(shape, given)
            x = x.contiguous(memory_format=order)
            torched = in_torch(monkeypatch, x, threshold, gradient=gradient, dtype=dtype)
            monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
            assert_same(both_ways(x, threshold, gradient=gradient, dtype=dtype), torched)


@pytest.mark.parametrize(("shape", "spatial"), [((5, 6), 0), ((2, 4, 6), 0), ((6,), 0), ((4, 6, 9), 1)])
def test_inputs_of_linear_layers_and_sequences_are_compared_by_channel(monkeypatch, shape, spatial):
    threshold = seeded((6, *[1] * spatial), 2)
    x = seeded(shape, 0)
    for dtype in TYPES:
        settings = {"gradient": "clipped", "dtype": dtype}
        native = both_ways(x, threshold, **settings)
        assert_same(native, in_torch(monkeypatch, x, threshold, **settings))
        assert torch.equal(native[0] > 0, x >= threshold)


def test_a_linear_layer_behind_images_with_channels_last_is_compared_by_its_last_dimension(monkeypatch):
    threshold = seeded((6,), 2)
    x = seeded((2, 3, 4, 6), 0).contiguous(memory_format=torch.channels_last)
    native = both_ways(x, threshold, gradient="clipped", dtype=torch.float32)
    assert_same(native, in_torch(monkeypatch, x, threshold, gradient="clipped", dtype=torch.float32))


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("gradient", NATIVE_SLOPES)
def test_what_is_no_number_or_infinite_does_what_it_does_in_torch(monkeypatch, gradient, isa):
    x, threshold = inputs((3, 5, 7, 3), torch.float32)
    x[1, 2, 3] = torch.nan
    x[1, 3, 3, 0], x[1, 3, 3, 1] = torch.inf, -torch.inf
    upstream = seeded(x.shape, 1)
    upstream[2, 0, 0] = torch.nan
    upstream[2, 1, 0], upstream[2, 1, 1] = torch.inf, -torch.inf
    settings = {"gradient": gradient, "dtype": torch.float32, "upstream": upstream}
    torched = in_torch(monkeypatch, x, threshold, **settings)
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    for left, right in zip(both_ways(x, threshold, **settings), torched, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3, equal_nan=True)
    assert torched[0][1, 2, 3].eq(-torch.tensor(SCALE)).all()


def test_every_layout_of_input_and_gradient_gives_the_same_numbers():
    plain, threshold = inputs((3, 5, 17, 11), torch.float32)
    upstream = seeded(plain.shape, 1)
    images = plain.contiguous(memory_format=torch.channels_last)
    sparse = torch.stack([plain, plain], dim=-1)[..., 0]  # every second place in memory
    gradients = (
        upstream,
        upstream.contiguous(memory_format=torch.channels_last),
        upstream.mT.contiguous().mT,
    )
    expected = None
    for x in (plain, images, sparse):
        for gradient in gradients:
            found = both_ways(x, threshold, gradient="approx_sign", dtype=torch.float32, upstream=gradient)
            expected = expected or found
            assert_same(found, expected)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("shape", [(8, 16, 40, 30), (2, 3, 200, 180), (40, 3000, 1, 1)], ids=str)
def test_sums_do_not_depend_on_chance_or_on_threads(shape, order):
    before = torch.get_num_threads()
    x, threshold = inputs(shape, torch.float32)
    x = x.contiguous(memory_format=order)
    found = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            found.append(both_ways(x, threshold, gradient="clipped", dtype=torch.float32))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(left, right) for left, right in zip(found[0], other, strict=True))


def test_sums_of_many_numbers_are_those_of_64_bits():
    x, threshold = inputs((8, 16, 64, 64), torch.float32)
    x = x.contiguous(memory_format=torch.channels_last)
    upstream = seeded(x.shape, 1) + 0.5
    _, grad_x, by_threshold, by_scale = both_ways(
        x, threshold, gradient="identity", dtype=torch.float32, upstream=upstream
    )
    signs = torch.where(x >= threshold, 1.0, -1.0).double()
    assert torch.equal(grad_x, upstream)
    torch.testing.assert_close(
        by_threshold.view(-1).double(), -upstream.double().sum((0, 2, 3)), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(by_scale.double(), (upstream * signs).sum(), rtol=1e-5, atol=1e-2)


def test_no_inputs_at_all_give_no_outputs_and_no_gradient():
    empty = torch.zeros(0, 5, 3, 3)
    y, grad_x, by_threshold, by_scale = both_ways(
        empty, torch.zeros(5, 1, 1), gradient="clipped", dtype=torch.float32
    )
    assert y.shape == grad_x.shape == empty.shape
    assert not by_threshold.any()
    assert by_scale == 0


@pytest.mark.parametrize("gradient", ["tanh", "swish", "ede"])
def test_slopes_of_the_hyperbolic_tangent_are_left_to_torch(monkeypatch, gradient):
    x, threshold = inputs((3, 5, 7, 3), torch.bfloat16)
    settings = {"gradient": gradient, "dtype": torch.bfloat16}
    here, there = both_ways(x, threshold, **settings), in_torch(monkeypatch, x, threshold, **settings)
    assert all(torch.equal(left, right) for left, right in zip(here, there, strict=True))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("gradient", ["clipped", "swish"])
def test_passes_in_torch_over_blocks_give_the_same_numbers(monkeypatch, gradient, dtype):
    x, threshold = inputs((9, 5, 7, 3), dtype)
    found = []
    for block in (10**6, 300, 1):  # all at once, two samples, one
        monkeypatch.setattr("mpsearch.quant.cache_blocks.BLOCK_ELEMENTS", block)
        found.append(in_torch(monkeypatch, x, threshold, gradient=gradient, dtype=dtype))
    for other in found[1:]:
        assert_same(other, found[0])


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (5,)], ids=str)
@pytest.mark.parametrize("gradient", ["clipped", "swish"])
def test_passes_in_torch_leave_an_input_without_a_batch_whole(monkeypatch, gradient, shape):
    x, upstream = seeded(shape, 0), seeded(shape, 1)
    threshold = seeded((5, *[1] * (len(shape) - 1)), 2) / 3
    settings = {"gradient": gradient, "dtype": torch.float32}
    batched = in_torch(monkeypatch, x[None], threshold, upstream=upstream[None], **settings)
    monkeypatch.setattr("mpsearch.quant.cache_blocks.BLOCK_ELEMENTS", 6)
    y, grad_x, *sums = in_torch(monkeypatch, x, threshold, upstream=upstream, **settings)
    assert_same((y[None], grad_x[None], *sums), batched)


def test_the_scale_learns_the_same_when_its_product_is_rounded(monkeypatch):
    x, threshold = inputs((40, 5, 7, 3), torch.float32)
    upstream = (seeded(x.shape, 1) + seeded(x.shape, 0)).bfloat16()
    for run in (both_ways, lambda *given, **settings: in_torch(monkeypatch, *given, **settings)):
        wide, narrow = (
            run(x, threshold, gradient="clipped", dtype=dtype, upstream=upstream)[3] for dtype in TYPES
        )
        torch.testing.assert_close(wide, narrow, rtol=1e-5, atol=0)


def test_a_missing_extension_is_an_error_that_says_what_to_do(monkeypatch):
    def missing():
        raise KernelError("The compiled kernels cannot be loaded. Reinstall with `pip install .`.")

    monkeypatch.setattr("mpsearch.quant.sign_pass.load_extension", missing)
    x, threshold = inputs((3, 5, 7, 3), torch.float32)
    with pytest.raises(KernelError, match="pip install"):
        both_ways(x, threshold, gradient="clipped", dtype=torch.float32)
