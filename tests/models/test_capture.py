"""The captured graph computes what the model computes, for any batch; what it cannot capture is named."""

import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import UnsupportedOperatorError
from mpsearch.models.capture import capture_graph
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.resnet import ResNet18, resnet20
from mpsearch.models.trace import trace_model
from mpsearch.models.vgg import VggSmall


class Of(nn.Module):
    """A model from its layers and a function of them and its input."""

    def __init__(self, compute, **layers: nn.Module) -> None:
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def conv(inputs: int = 2, outputs: int = 4, **settings) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **settings)


def with_random_statistics(model: nn.Module) -> nn.Module:
    """As after training: each BatchNorm with another mean, variance, gain and offset."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, -1, 1)
                nn.init.uniform_(module.bias, -1, 1)
    return model


def shared_sequence(inputs: int) -> nn.Module:
    layer = nn.Linear(inputs, inputs)
    return nn.Sequential(layer, nn.ReLU(), layer)


def residual_before_batch_norm(m, x):
    return F.relu(m.bn(m.a(x) + m.b(x)))


def in_place(m, x):
    y = m.bn(m.a(x))
    y += m.b(x)
    return F.relu_(m.relu(y))


def overwritten(m, x):
    y = m.a(x)
    z = F.relu_(y)
    return y + z


def option_a(m, x):
    x = m.a(x)
    return m.b(x)[:, :, ::2, ::2] + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 3))


def options(m, x):
    x = F.relu6(m.a(x)).clamp(min=0.5).clamp_max(4)
    return F.hardtanh(x, -0.25, 0.75) + torch.clamp(x, 1, 2)


def attached(m, x):
    with torch.no_grad():
        x = m.a(x).contiguous().to(torch.float32)
    return m.fc(F.adaptive_avg_pool2d(x.clone(), 1).squeeze(-1).squeeze(-1).detach())


def pools(m, x):
    x = F.max_pool2d(m.a(x), 3, stride=2, padding=1)
    x = F.avg_pool2d(x, (2, 1), stride=1, padding=(1, 0))
    return F.max_pool2d(F.adaptive_avg_pool2d(x, (5, 2)), 1, ceil_mode=True)


SEQUENCE = {"a": nn.Conv1d(3, 4, 5, stride=2, padding=2), "bn": nn.BatchNorm1d(4), "fc": nn.Linear(8, 5)}

COMPILED = {
    "digits": (DigitsCnn(), (1, 8, 8)),
    "mlp": (Mlp(64), (1, 8, 8)),
    "mlp of features": (Mlp(12), (12,)),
    "resnet20": (resnet20(width=4), (3, 32, 32)),
    "resnet18": (ResNet18(width=4), (3, 32, 32)),
    "ds_cnn": (DsCnn(width=8), (1, 49, 10)),
    "vgg": (VggSmall(width=4), (3, 32, 32)),
    "shared module": (shared_sequence(6), (6,)),
    "one module called twice": (Of(lambda m, x: m.a(F.relu(m.a(x))), a=conv(2, 2)), (2, 5, 5)),
    "nested names": (nn.Sequential(nn.Sequential(nn.Sequential(conv()), nn.ReLU())), (2, 5, 5)),
    "evaluated": (Of(lambda m, x: m.a(x) * 2 if m.training else m.a(x), a=conv()), (2, 5, 5)),
    "x + x": (Of(lambda m, x: (y := m.a(x)) + y, a=conv()), (2, 5, 5)),
    "dropout": (Of(lambda m, x: m.drop(m.a(x)), a=nn.Linear(4, 3), drop=nn.Dropout()), (4,)),
    "identity": (nn.Sequential(nn.Identity(), conv(), nn.Dropout2d()), (2, 5, 5)),
    "no parameters in batch norm": (nn.Sequential(conv(), nn.BatchNorm2d(4, affine=False)), (2, 5, 5)),
    "batch norm of features": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (4,)),
    "batch norm under two names": (
        Of(lambda m, x: m.bn(m.b(m.bn(m.a(x)))), a=conv(2, 3), b=conv(3, 3), bn=nn.BatchNorm2d(3)),
        (2, 5, 5),
    ),
    "view": (Of(lambda m, x: m.fc(m.a(x).view(-1, 100)), a=conv(), fc=nn.Linear(100, 3)), (2, 5, 5)),
    "view by batch": (
        Of(lambda m, x: m.fc(m.a(x).view(x.size(0), -1)), a=conv(), fc=nn.Linear(100, 3)),
        (2, 5, 5),
    ),
    "mean": (Of(lambda m, x: m.fc(m.a(x).mean([2, 3])), a=conv(), fc=nn.Linear(4, 3)), (2, 5, 6)),
    "mean with keepdim": (Of(lambda m, x: m.a(x).mean((-2, -1), keepdim=True), a=conv()), (2, 5, 6)),
    "mean of rows": (Of(lambda m, x: m.a(x).mean(2), a=conv()), (2, 5, 6)),
    "squeeze": (Of(attached, a=conv(), fc=nn.Linear(4, 3)), (2, 5, 5)),
    "residual before batch norm": (
        Of(residual_before_batch_norm, a=conv(), b=conv(bias=False), bn=nn.BatchNorm2d(4)),
        (2, 5, 5),
    ),
    "in place": (
        Of(in_place, a=conv(), b=conv(), bn=nn.BatchNorm2d(4), relu=nn.ReLU6(inplace=True)),
        (2, 5, 5),
    ),
    "overwritten": (Of(overwritten, a=nn.Linear(4, 4)), (4,)),
    "option A": (Of(option_a, a=conv(2, 4), b=conv(4, 8)), (2, 5, 6)),
    "clamps": (Of(options, a=conv()), (2, 5, 5)),
    "pools": (Of(pools, a=conv()), (2, 8, 8)),
    "same padding": (nn.Sequential(nn.Conv2d(2, 2, 3, padding="same", dilation=2, groups=2)), (2, 5, 5)),
    "sequence": (
        Of(
            lambda m, x: m.fc(F.max_pool1d(F.relu(m.bn(m.a(x))), 3, 2).flatten(1)),
            **{**SEQUENCE, "fc": nn.Linear(12, 5)},
        ),
        (3, 14),
    ),
    "sequence by pools": (
        Of(lambda m, x: F.avg_pool1d(F.adaptive_avg_pool1d(m.a(x), 2), 2), a=SEQUENCE["a"]),
        (3, 16),
    ),
    "sequence as image": (
        Of(lambda m, x: m.b(m.a(x).unsqueeze(2)).squeeze(2).mean(-1), a=SEQUENCE["a"], b=conv(4, 2)),
        (3, 14),
    ),
    "an output of three dimensions": (nn.Sequential(SEQUENCE["a"]), (3, 14)),
}


@pytest.mark.parametrize("name", COMPILED)
def test_the_graph_computes_what_the_model_computes(name, interpret):
    model, shape = COMPILED[name]
    torch.manual_seed(0)
    model = with_random_statistics(model).eval()
    trace = trace_model(model, (torch.randn(1, *shape),))
    assert trace.graph is not None, trace.eager_reasons
    assert trace.eager_reasons == ()
    for batch in (1, 3):
        x = torch.randn(batch, *shape)
        with torch.no_grad():
            expected = model(x)
        found = interpret(trace.graph, model, x)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.out = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(q, k, v))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.a(x)


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return self.a(x)


def hooked(model: nn.Module) -> nn.Module:
    model[0].register_forward_hook(lambda _module, _inputs, output: 2 * output)
    return model


def overwritten_view(m, x):
    y = m.a(x)
    F.relu_(m.drop(y).view(-1, 4))
    return y + y


def chosen(m, x):
    return m.a(x) if x.sum() > 0 else m.a(-x)


def batch_mixing(m, x):
    return m.a(x.view(1, -1, 5, 5)).view(len(x), -1)


def other_for_one(m, x):
    return m.a(x) if len(x) == 1 else m.a(F.relu(x))


FIVES = torch.full((4,), 5.0)

REFUSED = {
    "gelu": (nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.GELU())), (4,), ["aten.gelu in 0.1"]),
    "all of a kind": (
        nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Sigmoid(), nn.GELU()),
        (4,),
        ["aten.gelu in 1 and 1 more", "aten.sigmoid in 2"],
    ),
    "concatenation": (
        Of(lambda m, x: torch.cat([m.a(x), x], 1), a=conv()),
        (2, 5, 5),
        ["aten.cat in the model"],
    ),
    "attention": (Attention(), (3, 4), ["aten.linear on a value of 3 dimensions", "aten.chunk in"]),
    "layer norm": (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (4,), ["aten.layer_norm in 1"]),
    "transformer": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (3, 4), ["layer_norm in norm1"]),
    "control flow": (Of(chosen, a=nn.Linear(4, 4)), (4,), ["torch.export fails (GuardOnDataDependent"]),
    "two outputs": (Of(lambda m, x: (m.a(x), x), a=nn.Linear(4, 4)), (4,), ["it returns 2 values"]),
    "a dictionary": (Of(lambda m, x: {"y": m.a(x)}, a=nn.Linear(4, 4)), (4,), ["in a structure"]),
    "a constant": (
        Of(lambda m, x: m.a(x) + torch.ones(4), a=nn.Linear(4, 4)),
        (4,),
        ["aten.ones in"],
    ),
    "a scalar": (Of(lambda m, x: m.a(x) + 1, a=nn.Linear(4, 4)), (4,), ["aten.add `other` is no activation"]),
    "a broadcast": (Of(lambda m, x: m.a(x) + x[:, :1], a=nn.Linear(4, 4)), (4,), ["aten.slice of a part"]),
    "different shapes": (
        Of(lambda m, x: m.a(x) + m.a(x).mean((2, 3), keepdim=True), a=conv()),
        (2, 5, 5),
        ["aten.add of values with different shapes"],
    ),
    "alpha": (Of(lambda m, x: torch.add(m.a(x), x, alpha=2), a=nn.Linear(4, 4)), (4,), ["with `alpha` 2"]),
    "hooks": (hooked(nn.Sequential(nn.Linear(4, 4))), (4,), ["layer 0: it has hooks", "aten.mul"]),
    "weight norm": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4)),
        (4,),
        ["aten._weight_norm in 0.parametrizations", "layer 0: its weight is computed"],
    ),
    "circular padding": (
        nn.Sequential(conv(padding_mode="circular"), conv(4, 4)),
        (2, 5, 5),
        ["aten.pad of anything but", "layer 0: padding mode 'circular'"],
    ),
    "no statistics": (
        nn.Sequential(conv(), nn.BatchNorm2d(4, track_running_stats=False)),
        (2, 5, 5),
        ["aten.batch_norm with the statistics of the batch in 1"],
    ),
    "loose batch norm": (
        Of(
            lambda m, x: F.batch_norm(m.a(x), m.bn.running_mean, m.bn.running_var),
            a=nn.Linear(4, 4),
            bn=nn.BatchNorm1d(4),
        ),
        (4,),
        ["aten.batch_norm that is no BatchNorm module's"],
    ),
    "batch norm with a constant gain": (
        Of(
            lambda m, x: F.batch_norm(m.a(x), m.bn.running_mean, m.bn.running_var, FIVES),
            a=nn.Linear(4, 4),
            bn=nn.BatchNorm1d(4, affine=False),
        ),
        (4,),
        ["aten.batch_norm with a tensor that is no parameter or buffer"],
    ),
    "batch norm with constant statistics": (
        Of(
            lambda m, x: F.batch_norm(m.a(x), FIVES, FIVES, m.bn.weight, m.bn.bias),
            a=nn.Linear(4, 4),
            bn=nn.BatchNorm1d(4, track_running_stats=False),
        ),
        (4,),
        ["aten.batch_norm with a tensor that is no parameter or buffer"],
    ),
    "first samples": (Of(lambda m, x: m.a(x)[:8], a=nn.Linear(4, 4)), (4,), ["aten.slice of a part"]),
    "empty bounds": (Of(lambda m, x: m.a(x).clamp(1, 0), a=nn.Linear(4, 4)), (4,), ["from 1.0 to 0.0"]),
    "no bound": (
        Of(lambda m, x: m.a(x).clamp(min=float("nan")), a=nn.Linear(4, 4)),
        (4,),
        ["aten.clamp from nan to None"],
    ),
    "uneven pool": (Of(lambda m, x: F.adaptive_avg_pool2d(m.a(x), 2), a=conv()), (2, 5, 5), ["unequal size"]),
    "dilated pool": (
        Of(lambda m, x: F.max_pool2d(m.a(x), 2, dilation=2), a=conv()),
        (2, 5, 5),
        ["`dilation`"],
    ),
    "ceil mode": (
        Of(lambda m, x: F.max_pool2d(m.a(x), 2, ceil_mode=True), a=conv()),
        (2, 5, 5),
        ["`ceil_mode`"],
    ),
    "mean without padding": (
        Of(lambda m, x: F.avg_pool2d(m.a(x), 3, 1, 1, count_include_pad=False), a=conv()),
        (2, 5, 5),
        ["`count_include_pad`"],
    ),
    "mean of channels": (Of(lambda m, x: m.a(x).mean(1), a=conv()), (2, 5, 5), ["over more than height and"]),
    "mean of columns": (Of(lambda m, x: m.a(x).mean(3), a=conv()), (2, 5, 5), ["over the width alone"]),
    "padding": (
        nn.Sequential(nn.ZeroPad2d(1), conv()),
        (2, 5, 5),
        ["aten.pad of anything but channels with zeros in 0"],
    ),
    "reshape": (
        Of(lambda m, x: m.a(x).view(-1, 4, 25), a=conv()),
        (2, 5, 5),
        ["aten.view from (N, 4, 5, 5)"],
    ),
    "features as pixels": (
        Of(lambda m, x: m.a(x).view(len(x), -1, 1, 1), a=conv()),
        (2, 5, 5),
        ["must be returned as (N, C); got rank 4"],
    ),
    "flattened, then pooled": (
        Of(lambda m, x: F.max_pool1d(m.a(x).view(len(x), -1, 1), 1), a=conv()),
        (2, 5, 5),
        ["may be read by linear layers"],
    ),
    "transpose": (Of(lambda m, x: m.a(x).transpose(2, 3), a=conv()), (2, 5, 5), ["aten.transpose in"]),
    "dropped batch": (
        Of(lambda m, x: m.a(x).squeeze(), a=nn.Linear(4, 4)),
        (4,),
        ["aten.squeeze does not keep the batch"],
    ),
    "flat batch": (Of(lambda m, x: m.a(x).flatten(), a=nn.Linear(4, 4)), (4,), ["keep the batch dimension"]),
    "functional dropout": (Of(lambda m, x: F.dropout(m.a(x)), a=nn.Linear(4, 4)), (4,), ["in training mode"]),
    "mixed batch": (Of(batch_mixing, a=conv()), (2, 5, 5), ["torch.export fails for 3 samples"]),
    "other for one": (Of(other_for_one, a=nn.Linear(4, 4)), (4,), ["the operators for 3 samples are not"]),
    "overwritten view": (
        Of(overwritten_view, a=nn.Linear(4, 4), drop=nn.Dropout()),
        (4,),
        ["aten.relu_ in place, of a value that is read"],
    ),
    "buffers": (Counting(), (4,), ["aten.add_ of a parameter, buffer or constant", "aten.copy_ in"]),
    "weight used elsewhere": (
        Of(lambda m, x: F.linear(m.a(x), m.a.weight, m.a.bias), a=nn.Linear(4, 4)),
        (4,),
        ["layer a: called 1 times, and 2 uses"],
    ),
    "other stride": (
        Of(lambda m, x: F.conv2d(m.a(x), m.a.weight, m.a.bias, stride=2), a=conv(2, 2)),
        (2, 5, 5),
        ["with the weight of a and settings of its own"],
    ),
    "unused": (
        Of(lambda m, x: (m.a(x), m.b(x))[1], a=nn.Linear(4, 4), b=nn.Linear(4, 4)),
        (4,),
        ["layer a: "],
    ),
    "double": (Of(lambda m, x: m.a(x).double(), a=nn.Linear(4, 4)), (4,), ["aten.to to torch.float64"]),
    "unbatched": (nn.Sequential(nn.Conv2d(3, 3, 1)), (5, 5), ["layer 0: called with an unbatched input"]),
    "a lock": (Locked(), (4,), ["it cannot be copied (TypeError: "]),
    "volumes": (nn.Sequential(nn.Linear(4, 4)), (2, 3, 4, 4), ["an input of shape (1, 2, 3, 4, 4)"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_keeps_a_model_in_torch_is_named_with_its_module(name, capfd):
    model, shape, reasons = REFUSED[name]
    trace = trace_model(model, (torch.randn(3 if name == "unbatched" else 1, *shape),))
    assert trace.graph is None
    for reason in reasons:
        assert any(reason in found for found in trace.eager_reasons), trace.eager_reasons
    assert capfd.readouterr() == ("", "")


def test_several_inputs_and_other_types_stay_in_torch():
    two = trace_model(nn.Bilinear(2, 2, 2), (torch.zeros(1, 2), torch.zeros(1, 2)))
    assert two.graph is None
    words = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
    assert trace_model(words, (torch.zeros(1, dtype=torch.long),)).eager_reasons == (
        "an input of torch.int64; a plan takes one dense float32 tensor",
    )


def test_the_error_says_what_happens_instead():
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    x = (torch.zeros(1, 4),)
    with pytest.raises(
        UnsupportedOperatorError, match=r"cannot run this model: aten.gelu in 1. It runs in torch"
    ):
        capture_graph(model, x, trace_model(model, x))


def test_names_in_the_graph_are_those_of_modules():
    graph = trace_model(shared_sequence(4), (torch.zeros(1, 4),)).graph
    assert [(node.name, node.layer) for node in graph.nodes] == [
        ("input", ""),
        ("0", "0"),
        ("1.clamp", ""),
        ("0#2", "0"),
    ]


class Leaky(nn.Module):
    """Keeps what it computed last, and warns."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.last = None

    def forward(self, x: Tensor) -> Tensor:
        warnings.warn("slow", stacklevel=1)
        self.last = self.a(x)
        return self.last


@pytest.mark.filterwarnings("ignore:slow")
def test_a_model_that_keeps_tensors_does_not_get_those_of_the_export():
    model = Leaky()
    x = torch.ones(2, 4)
    trace_model(model, (x,))
    assert torch.equal(model.last, model.a(x))
    assert type(model.last) is Tensor
