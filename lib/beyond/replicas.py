"""Many small independent networks trained at once: every layer one batched product.

A small network leaves a processor mostly waiting between its operations. R
networks of one shape, with different weights, labels or settings, take hardly
longer than one. Activations are ``[R, features, n]``, so that BatchNorm sees
the features of all networks as channels and needs no copy.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ReplicaLinear(nn.Module):
    """R linear layers."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """``[R, fan_in, n]``, or ``[fan_in, n]`` for all alike, to ``[R, fan_out, n]``."""
        if x.ndim == 3:
            return torch.baddbmm(self.bias.unsqueeze(2), self.weight, x)
        replicas, fan_out, fan_in = self.weight.shape
        together = torch.addmm(self.bias.reshape(-1, 1), self.weight.reshape(-1, fan_in), x)
        return together.view(replicas, fan_out, -1)


class ReplicaBatchNorm(nn.Module):
    """R BatchNorm layers; each replica's statistics are its own."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))
        self.register_buffer("running_mean", torch.stack([layer.running_mean for layer in layers]))
        self.register_buffer("running_var", torch.stack([layer.running_var for layer in layers]))
        self.momentum, self.eps = layers[0].momentum, layers[0].eps

    def forward(self, x: Tensor) -> Tensor:
        """``[R, features, n]``, same shape."""
        replicas, features, n = x.shape
        channels = (self.running_mean, self.running_var, self.weight, self.bias)
        mean, variance, weight, bias = (values.reshape(-1) for values in channels)
        normalised = nn.functional.batch_norm(
            x.reshape(1, replicas * features, n), mean, variance, weight, bias, self.training, self.momentum, self.eps
        )
        return normalised.view(x.shape)


STACKED = {nn.Linear: ReplicaLinear, nn.BatchNorm1d: ReplicaBatchNorm}
ALIKE = (nn.ReLU, nn.LeakyReLU)  # nothing to learn: act on all replicas at once


class Replicas(nn.Module):
    """R networks of one shape; what they learn is independent of each other.

    Made of networks from `models.build` of kind "fcn" (with or without
    BatchNorm). TypeError for layers that cannot be stacked, ValueError for
    networks of different shapes.
    """

    def __init__(self, networks: Sequence[nn.Sequential]) -> None:
        super().__init__()
        if not networks:
            raise ValueError("there must be at least one network to stack")
        shapes = {tuple((name, tuple(value.shape)) for name, value in one.state_dict().items()) for one in networks}
        if len(shapes) != 1:
            raise ValueError("networks that are trained together must have one shape")
        self.count = len(networks)
        self.layers = nn.ModuleList()
        for layers in zip(*networks, strict=True):
            kind = type(layers[0])
            if kind in STACKED:
                self.layers.append(STACKED[kind](layers))
            elif kind in ALIKE:
                self.layers.append(layers[0])
            elif kind is not nn.Flatten:
                raise TypeError(f"{kind.__name__} cannot be trained together with others; train such networks singly")

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees: ``[R, features, n]``."""
        x = x.flatten(-3) if x.ndim >= 4 else x
        x = x.transpose(-1, -2)
        for layer in self.layers[:-1]:
            x = layer(x)
        return x

    def read_out(self, features: Tensor) -> Tensor:
        """Logits ``[R, n, classes]`` of what `features` gave."""
        return self.layers[-1](features).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[n, channels, height, width]`` for all alike or ``[R, n, ...]``; logits ``[R, n, classes]``."""
        return self.read_out(self.features(x))

    def copy_into(self, networks: Sequence[nn.Sequential]) -> None:
        """Write the weights and statistics back into networks of the shape these were made of."""
        kept = [
            [layer for layer in network if not isinstance(layer, nn.Flatten)]
            for network in networks
        ]  # fmt: skip
        with torch.no_grad():
            for place, stacked in enumerate(self.layers):
                for name, values in stacked.state_dict().items():
                    for value, layers in zip(values, kept, strict=True):
                        getattr(layers[place], name).copy_(value)


class Single(nn.Module):
    """One network of any kind, with the interface of `Replicas`."""

    count = 1

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees: ``[1, features, n]``."""
        return self.network[:-1](x).T.unsqueeze(0)

    def read_out(self, features: Tensor) -> Tensor:
        """Logits ``[1, n, classes]`` of what `features` gave."""
        return self.network[-1](features[0].T).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[n, channels, height, width]`` or ``[1, n, ...]``; logits ``[1, n, classes]``."""
        return self.network(x.squeeze(0) if x.ndim == 5 else x).unsqueeze(0)


def together(networks: Sequence[nn.Sequential]) -> "Replicas | Single":
    """The networks as one module: stacked, or as it is where there is but one."""
    return Replicas(networks) if len(networks) > 1 or _stackable(networks[0]) else Single(networks[0])


def _stackable(network: nn.Sequential) -> bool:
    return all(type(layer) in (*STACKED, *ALIKE, nn.Flatten) for layer in network)


class Flat:
    """The parameters of R networks as one table, ``values`` [R, parameters of a network].

    The module's own parameters become views of it: writing into the table
    changes the networks.
    """

    def __init__(self, module: "Replicas | Single") -> None:
        self.parameters = list(module.parameters())
        rows = [p.detach().reshape(module.count, -1) for p in self.parameters]
        self.values = torch.cat(rows, dim=1)
        start = 0
        for p, row in zip(self.parameters, rows, strict=True):
            p.data = self.values[:, start : start + row.shape[1]].view(p.shape)
            start += row.shape[1]

    def gradient(self, loss: Tensor, *, again: bool = False) -> Tensor:
        """Gradient of ``loss`` (the sum of the replicas' losses): a row a replica. ``again``: the graph is kept."""
        found = torch.autograd.grad(loss, self.parameters, retain_graph=again)
        return torch.cat([g.reshape(len(self.values), -1) for g in found], dim=1)
