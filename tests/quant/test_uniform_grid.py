import pytest
import torch

from mpsearch.kernels.native import available_isas
from mpsearch.quant import native_memory
from mpsearch.quant.uniform_grid import Grid, grid_integers, round_to_grid

GRIDS = {
    "unsigned": Grid(low=0, high=255),
    "signed": Grid(low=-128, high=127),
    "moved": Grid(low=-91, high=164),
    "ternary": Grid(low=-1, high=1, slack=0.0),
    "unsigned, clipped at its ends": Grid(low=0, high=255, slack=0.0),
    "clipping value": Grid(low=-128, high=127, slack=0.0, learns_inside=False),
}
TYPES = (torch.float32, torch.bfloat16)


def numbers(dtype):
    """Of all sizes, on the edges of steps, none at all, and not a multiple of any vector's length."""
    x = torch.randn(3, 5, 17, 11, generator=torch.Generator().manual_seed(0)) * 30
    x[0, 0, 0, :6] = torch.tensor([0.25, 0.75, -0.25, 63.75, -0.0, 1e30])
    return x.to(dtype)


def both_ways(monkeypatch, x, grid, *, dtype, native):
    if not native:
        monkeypatch.setattr(native_memory, "NATIVE_TYPES", ())
    x = x.clone().requires_grad_()
    scale, offset = torch.tensor(0.5, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = round_to_grid(x, scale, grid, offset)
    y.backward(torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype))
    integers = grid_integers(x, torch.tensor(0.5), grid)
    monkeypatch.undo()
    return y.detach(), integers, x.grad, scale.grad, offset.grad


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("given", TYPES, ids=str)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("isa", available_isas())
def test_the_native_passes_equal_those_in_torch(monkeypatch, isa, grid, given, dtype):
    x = numbers(given)
    torched = both_ways(monkeypatch, x, grid, dtype=dtype, native=False)
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    native = both_ways(monkeypatch, x, grid, dtype=dtype, native=True)
    for left, right in zip(native[:3], torched[:3], strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    for left, right in zip(native[3:], torched[3:], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)


def test_without_slack_inputs_at_the_ends_are_clipped_and_the_scale_may_still_learn_inside():
    v = torch.tensor([-1.4, -1.0, -0.6, 0.0, 0.3, 0.99, 1.0, 1.4])
    for learns_inside, expected in ((True, v.round() - v), (False, torch.zeros(8))):
        expected = torch.where(v.abs() < 1, expected, v.sign())  # noqa: PLW2901
        grid = Grid(low=-1, high=1, slack=0.0, learns_inside=learns_inside)
        for place in range(8):
            x, scale = v[place : place + 1].clone().requires_grad_(), torch.ones((), requires_grad=True)
            round_to_grid(x, scale, grid).sum().backward()
            torch.testing.assert_close(scale.grad, expected[place])
            assert x.grad.item() == (v[place].abs() < 1)


@pytest.mark.parametrize("given", TYPES, ids=str)
def test_what_is_no_number_stays_none(given):
    x = torch.full((20,), torch.nan, dtype=given)
    for dtype in TYPES:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            y = round_to_grid(x, torch.tensor(0.5), GRIDS["signed"])
        assert y.dtype == dtype
        assert y.isnan().all()


def test_every_layout_of_input_and_gradient_gives_the_same_numbers():
    plain = numbers(torch.float32)
    upstream = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    images = plain.contiguous(memory_format=torch.channels_last)
    sparse = torch.stack([plain, plain], dim=-1)[..., 0]  # every second place in memory
    gradients = (
        upstream,
        upstream.contiguous(memory_format=torch.channels_last),
        upstream.mT.contiguous().mT,
    )
    for x in (plain, images, sparse):
        for gradient in gradients:
            given = x.clone(memory_format=torch.preserve_format).requires_grad_()
            y = round_to_grid(given, torch.tensor(0.5), GRIDS["unsigned"])
            y.backward(gradient)
            inside = (plain > -0.25) & (plain < 127.75)
            assert torch.equal(y.detach(), (plain * 2).round().clamp(0, 255) / 2)
            assert torch.equal(given.grad, upstream * inside)


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_do_not_depend_on_chance_or_on_threads(threads):
    before = torch.get_num_threads()
    x = torch.randn(40, 3000, generator=torch.Generator().manual_seed(0))
    try:
        found = []
        for count in (1, threads, threads):
            torch.set_num_threads(count)
            scale = torch.tensor(0.01, requires_grad=True)
            round_to_grid(x, scale, GRIDS["signed"]).backward(x)
            found.append(scale.grad)
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
