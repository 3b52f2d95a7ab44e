"""Tangent agreement against per-sample gradients that are formed one by one."""

import math

import pytest
import torch
from torch import Tensor, nn

from lib.gradients import model_derivatives
from lib.models import ModelConfig, build
from lib.suspects import tangents
from lib.suspects.tangents import LAST, TAIL, Tail, class_directions, signals

CLASSES = 4
NETWORKS = {
    "fully connected": ModelConfig((20, 10)),
    "ntk": ModelConfig((20, 10), init="ntk"),
    "cnn": ModelConfig((4, 6, 8), kind="cnn"),
    "resnet": ModelConfig((2,), kind="resnet9"),
}


@pytest.fixture(autouse=True)
def doubles():
    """What is made here is float64: differences are then errors, not rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def network(name: str) -> nn.Module:
    """With BatchNorm statistics that are not the initial ones, and spread logits, so that every class is predicted."""
    model = build(NETWORKS[name], (1, 8, 8), CLASSES, torch.Generator().manual_seed(1)).double()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(2))
            layer.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(3))
    return model


def samples(count: int = 23) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(5)
    images = torch.randn(count, 1, 8, 8, generator=drawn, dtype=torch.float32).double() * 2
    return images, torch.randint(0, CLASSES, (count,), generator=drawn)


def own(model: nn.Module, depth: int) -> list[str]:
    """Names of the parameters of the last ``depth`` layers that have any."""
    holders = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))][-depth:]
    return [name for name, _ in model.named_parameters() if name.rpartition(".")[0] in holders]


def gradients(model: nn.Module, images: Tensor, depth: int) -> Tensor:
    """Of every logit of every sample: ``[n, classes, parameters of the tail]``."""
    wanted, masks = set(own(model, depth)), []
    for name, p in model.named_parameters():
        masks.append(torch.full((p.numel(),), name in wanted))
    each = [model_derivatives(model, images, white=1.0, logit=c) for c in range(CLASSES)]
    return torch.stack(each, dim=1)[:, :, torch.cat(masks)]


def brute(each: Tensor, h: Tensor) -> Tensor:
    """The direction of each class by a loop over samples."""
    ways = torch.zeros_like(each[0])
    for gradient, logits in zip(each, h, strict=True):
        c = logits.argmax()
        ways[c] += logits.softmax(0)[c] * gradient[c]
    return ways


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b / (a.norm() * b.norm())).item() if a.norm() * b.norm() > 0 else 0.0


def agreements(each: Tensor, h: Tensor, given: Tensor, ways: Tensor) -> Tensor:
    found = []
    for gradient, logits, label in zip(each, h, given.tolist(), strict=True):
        other = max((c for c in range(len(logits)) if c != label), key=lambda c: logits[c].item())
        found.append(cosine(gradient[label], ways[label]) - cosine(gradient[other], ways[other]))
    return torch.tensor(found)


def self_influences(each: Tensor, h: Tensor, given: Tensor) -> Tensor:
    found = []
    for gradient, logits, label in zip(each, h, given.tolist(), strict=True):
        other = max((c for c in range(len(logits)) if c != label), key=lambda c: logits[c].item())
        found.append((gradient[label] - gradient[other]).square().sum())
    return torch.stack(found)


def measure(model: nn.Module, images: Tensor, given: Tensor, depth: int = TAIL, index: Tensor | None = None):
    index = torch.arange(len(images)) if index is None else index
    with Tail(model, images[:1], depth) as tail:
        found = class_directions(tail, images.__getitem__, torch.arange(len(images)), given, CLASSES)
        return found, signals(tail, images.__getitem__, index, given, found)


def flat(model: nn.Module, depth: int, layers: list[Tensor]) -> Tensor:
    """Directions of layers, each with its bias in the last column, as flat gradients hold them."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    parts, layer = [], iter(layers)
    for name in own(model, depth):
        if name.endswith("weight"):
            matrix, start = next(layer), 0
            if matrix.shape[1] == 1:  # of the last layer, the class's own row: all others are 0
                matrix = torch.diag_embed(matrix[:, 0].T).permute(1, 2, 0)
        width = sizes[name] // matrix.shape[1]
        parts.append(matrix[:, :, start : start + width].flatten(1))
        start += width
    assert next(layer, None) is None
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize("depth", [LAST, TAIL])
@pytest.mark.parametrize("name", NETWORKS)
def test_directions_and_agreements_are_those_of_gradients_formed_one_by_one(name, depth, size, monkeypatch):
    if size:
        monkeypatch.setattr(tangents, "images_at_once", lambda *_: size)
    model, (images, given) = network(name), samples()
    each, h = gradients(model, images, depth), model.eval()(images).detach()
    ways = brute(each, h)
    found, seen = measure(model, images, given, depth)
    assert torch.allclose(flat(model, depth, found.layers), ways, rtol=1e-9, atol=1e-12)
    assert torch.allclose(found.lengths, ways.norm(dim=1), rtol=1e-9)
    assert len(h.argmax(1).unique()) > 1
    assert torch.allclose(seen.agreement, agreements(each, h, given, ways), atol=1e-9)
    assert seen.agreement.abs().max() > 0.1
    assert torch.allclose(seen.self_influence, self_influences(each, h, given), rtol=1e-9)
    assert seen.self_influence.min() > 0


def test_only_the_tail_of_a_resnet_counts_and_all_of_a_small_network():
    resnet, small = network("resnet"), network("fully connected")
    assert len(own(resnet, TAIL)) == 14 < len(list(resnet.parameters()))
    assert len(own(small, TAIL)) == len(list(small.parameters()))
    images, given = samples()
    found, before = measure(resnet, images, given)
    assert len(found.layers) == TAIL
    with torch.no_grad():  # the layers before matter only by what they give
        doubled = next(resnet.parameters())
        kept = doubled.clone()
        doubled.mul_(2)
    changed = measure(resnet, images, given)[1].agreement
    assert not torch.allclose(changed, before.agreement)
    with torch.no_grad():
        doubled.copy_(kept)
    assert torch.equal(measure(resnet, images, given)[1].agreement, before.agreement)


def test_answers_for_the_given_label_are_the_networks():
    model, (images, given) = network("cnn"), samples()
    _, seen = measure(model, images, given)
    for k, (logits, label) in enumerate(zip(model.eval()(images).detach(), given.tolist(), strict=True)):
        rest = [(logits[c].item(), c) for c in range(CLASSES) if c != label]
        assert seen.other[k] == max(rest)[1]
        assert seen.margin[k].item() == pytest.approx(logits[label].item() - max(rest)[0], abs=1e-12)
        p = math.exp(logits[label]) / sum(math.exp(v) for v in logits)
        assert seen.own[k].item() == pytest.approx(p, rel=1e-9)


def test_log_odds_are_bayes_rule():
    """P(true = y | given = y, x) from p(x) and counts of the given labels among the predicted, each plus one."""
    model, (images, given) = network("fully connected"), samples(60)
    p = model.eval()(images).detach().softmax(1)
    counts = [[1.0] * CLASSES for _ in range(CLASSES)]
    for row, label in zip(p, given.tolist(), strict=True):
        counts[row.argmax()][label] += 1
    found, seen = measure(model, images, given)
    assert torch.equal(found.meetings + 1, torch.tensor(counts))
    for k, label in enumerate(given.tolist()):
        joint = [p[k, true].item() * counts[true][label] / sum(counts[true]) for true in range(CLASSES)]
        right = joint[label] / sum(joint)
        assert seen.log_odds[k].item() == pytest.approx(math.log(right / (1 - right)), rel=1e-8)


def test_signals_follow_their_samples_in_any_order(generator):
    model, (images, given) = network("cnn"), samples(40)
    straight = measure(model, images, given)[1]
    order = torch.randperm(40, generator=generator)[:33]
    mixed = measure(model, images, given, index=order)[1]
    for name in ("own", "log_odds", "other", "margin", "agreement"):
        assert torch.allclose(getattr(mixed, name), getattr(straight, name)[order], rtol=1e-10, atol=1e-12), name
    assert straight.agreement.unique().numel() == 40


def test_given_labels_cannot_bend_the_directions(generator):
    model, (images, given) = network("resnet"), samples(40)
    other = given[torch.randperm(40, generator=generator)]
    (a, _), (b, _) = (measure(model, images, labels) for labels in (given, other))
    assert not torch.equal(a.meetings, b.meetings)
    assert all(torch.equal(x, y) for x, y in zip(a.layers, b.layers, strict=True))
    assert torch.equal(a.lengths, b.lengths)


def test_a_class_that_is_never_predicted_has_no_way_and_no_say():
    model, (images, given) = network("fully connected"), samples(40)
    with torch.no_grad():
        list(model.parameters())[-1][2] = -1e3
    each, h = gradients(model, images, TAIL), model.eval()(images).detach()
    found, seen = measure(model, images, given)
    assert found.lengths[2] == 0
    assert all((layer[2] == 0).all() for layer in found.layers)
    ways = brute(each, h)
    mine = given == 2
    assert mine.any()
    for gradient, other, value in zip(each[mine], seen.other[mine], seen.agreement[mine], strict=True):
        assert value.item() == pytest.approx(-cosine(gradient[other], ways[other]), abs=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fault", ["none", "in the network", "in what is done with it"])
def test_the_network_is_left_as_it_was(fault, training):
    model, (images, given) = network("resnet").train(training), samples()
    for k, p in enumerate(model.parameters()):
        p.requires_grad_(k % 3 > 0)  # some of both, in the tail and before it
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    learning = [p.requires_grad for p in model.parameters()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = [len(module._forward_hooks) for module in model.modules()]

    def fetch(index):
        if fault == "in the network" and len(calls) > 1:
            raise KeyboardInterrupt
        return images[index]

    tail = Tail(model, images[:1])
    calls.clear()
    for _ in range(2):  # it can be entered again
        try:
            with tail:
                found = class_directions(tail, fetch, torch.arange(23), given, CLASSES)
                signals(tail, fetch, torch.arange(23), given, found)
                for _ in tail.chunks(fetch, torch.arange(23)):
                    if fault == "in what is done with it":
                        raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            kept = error  # with the frames it went through
            assert fault in str(kept) or fault != "none"
        else:
            assert fault == "none"
        assert [p.requires_grad for p in model.parameters()] == learning
        assert [len(module._forward_hooks) for module in model.modules()] == hooks
        assert all(module.training == training for module in model.modules())
        assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())


def test_an_unknown_last_layer_is_named():
    with pytest.raises(ValueError, match=r"LayerNorm; tangents are known for Linear, NTKLinear, Conv2d, BatchNorm2d"):
        Tail(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="with weights is none"):
        Tail(nn.Sequential(nn.Flatten()), torch.zeros(1, 4))


def test_an_unknown_layer_before_shortens_the_tail():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LayerNorm(8), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
    images, given = samples()
    assert Tail(model, images[:1]).modules == [model[3], model[5]]
    each, h = gradients(model, images, 2), model.eval()(images).detach()
    assert torch.allclose(measure(model, images, given)[1].agreement, agreements(each, h, given, brute(each, h)))


# Networks of one's own -------------------------------------------------------------------------------------


class Tokens(nn.Module):
    """A linear layer used at every place of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.last = nn.Linear(8, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.each(x.squeeze(1)).tanh().mean(1))


def twice() -> nn.Module:
    shared = nn.Linear(6, 6)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(6, CLASSES))


def convolutional(*between: nn.Module, **options) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, **options), *between, nn.AdaptiveAvgPool2d(3),
        nn.Flatten(), nn.Linear(36, CLASSES),
    )  # fmt: skip


OWN = {
    "stride and dilation": lambda: convolutional(stride=2, dilation=2, padding=2, bias=False),
    "activation in place": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.ReLU(inplace=True), nn.Linear(8, CLASSES)
    ),
    "activation in place after BatchNorm": lambda: convolutional(nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
    "layer used twice": twice,
    "mirrored padding": lambda: convolutional(padding=1, padding_mode="reflect"),
    "groups": lambda: convolutional(groups=2),
    "padding by name": lambda: convolutional(padding="same"),
    "linear layer on a sequence": Tokens,
}


@pytest.mark.parametrize("name", OWN)
def test_of_any_network_the_agreement_is_right_or_the_layer_is_not_looked_at(name):
    torch.manual_seed(0)
    model, (images, given) = OWN[name]().eval(), samples()
    tail = Tail(model, images[:1])
    weights = [p for module in tail.modules for p in module.parameters(recurse=False)]
    each, h = [], model(images)
    for image in images:
        logits = model(image[None])[0]
        rows = [torch.autograd.grad(logit, weights, retain_graph=True) for logit in logits]
        each.append(torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]))
    each = torch.stack(each)
    expected = agreements(each, h.detach(), given, brute(each, h.detach()))
    assert torch.allclose(measure(model, images, given)[1].agreement, expected, atol=1e-9)


def test_a_network_whose_answers_depend_on_the_batch_is_refused():
    model = convolutional(nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="BatchNorm without running statistics"):
        Tail(model, torch.zeros(1, 1, 8, 8))
