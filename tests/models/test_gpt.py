import pytest
import torch
import torch.nn.functional as F

from mpsearch.errors import ConfigError
from mpsearch.models.attention import CausalAttention, RotaryPositions
from mpsearch.models.gpt import Gpt
from mpsearch.models.gpt2 import Gpt2

BUILD = {
    "gpt": lambda: Gpt(11, context=12, depth=2, width=16, heads=2),
    "gpt-swiglu": lambda: Gpt(11, context=12, depth=2, width=16, heads=2, feed_forward="swiglu"),
    "gpt2": lambda: Gpt2(11, context=12, depth=2, width=16, heads=2),
}


@pytest.fixture(params=BUILD)
def model(request):
    torch.manual_seed(0)
    return BUILD[request.param]()


def tokens(count: int = 3):
    return torch.randint(11, (count, 12), generator=torch.Generator().manual_seed(0))


def test_no_logit_depends_on_a_later_token_and_each_on_all_before(model):
    for parameter in model.parameters():  # far from the small initial ones: what depends shows
        torch.nn.init.normal_(parameter, std=0.5)
    before = tokens()
    after = before.clone()
    after[:, 6] = (after[:, 6] + 1) % 11
    with torch.no_grad():
        first, second = model(before), model(after)
    assert torch.allclose(first[:, :6], second[:, :6], atol=1e-5)
    assert bool(((first - second).abs().amax(2)[:, 6:] > 1e-4).all())


def test_a_shorter_text_gets_the_same_logits(model):
    with torch.no_grad():
        assert torch.allclose(model(tokens())[:, :5], model(tokens()[:, :5]), atol=1e-5)


def test_at_the_start_every_token_is_about_as_likely_and_gradients_reach_every_parameter(model):
    output = model(tokens())
    loss = F.cross_entropy(output.flatten(0, 1), tokens().roll(-1, 1).flatten())
    assert loss.item() == pytest.approx(torch.tensor(11.0).log().item(), abs=0.1)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters() if parameter.ndim > 1)


def test_rotated_products_depend_on_the_distance_only():
    rotary = RotaryPositions(8, 32)
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(8, generator=generator).expand(1, 1, 32, 8) for _ in range(2))
    products = (rotary(query) @ rotary(key).transpose(2, 3))[0, 0]
    for distance in (-5, 0, 3):
        along = products.diagonal(distance)
        assert torch.allclose(along, along[0].expand_as(along), atol=1e-5)
    assert not torch.allclose(products.diagonal(1)[0], products.diagonal(2)[0], atol=1e-2)


def test_rotation_is_the_published_one():
    rotary = RotaryPositions(4, 8)
    x = torch.randn(1, 1, 8, 4, generator=torch.Generator().manual_seed(0))
    turned = torch.view_as_complex(x.unflatten(-1, (2, 2)).transpose(-1, -2).contiguous())
    angles = torch.arange(8.0)[:, None] * torch.tensor([1.0, 10000.0**-0.5])
    wanted = torch.view_as_real(turned * torch.polar(torch.ones_like(angles), angles))
    assert torch.allclose(rotary(x), wanted.transpose(-1, -2).flatten(-2), atol=1e-6)


def test_attention_is_a_weighted_mean_of_values():
    torch.manual_seed(0)
    attention = CausalAttention(8, 2, bias=True)
    x = torch.randn(2, 5, 8)
    heads = [layer(x).unflatten(2, (2, 4)) for layer in (attention.query, attention.key, attention.value)]
    query, key, value = (part.transpose(1, 2) for part in heads)
    scores = (query @ key.transpose(2, 3) / 2).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    wanted = attention.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
    assert torch.allclose(attention(x), wanted, atol=1e-5)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of twice `heads`; got 12 and 8"):
        CausalAttention(12, 8, bias=False)
    with pytest.raises(ConfigError, match="`feed_forward` must be one of relu2, swiglu; got 'gelu'"):
        Gpt(11, feed_forward="gelu")
