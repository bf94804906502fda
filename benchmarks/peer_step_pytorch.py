"""A training step in PyTorch, as its tuning guide advises: channels-last, fused Adam, gradients set to None.

Arguments: network, batch size, "eager" or "compile" (`torch.compile`), "float32" or "bfloat16" (autocast).
"""

import sys

import torch
from measuring import serve
from networks import CLASSES, NETWORKS, Network, as_float, batches
from torch import nn


def build(network: Network) -> nn.Module:
    channels = network.patch**2
    parts = [nn.PixelUnshuffle(network.patch)] if network.patch > 1 else []
    for layer, features in enumerate(network.features):
        pool = [nn.MaxPool2d(2)] if layer in network.pooled else []
        parts.append(nn.Conv2d(channels, features, 3, padding=1, bias=False))
        parts += pool if network.pool_first else []
        parts += [nn.BatchNorm2d(features), nn.ReLU()]
        parts += [] if network.pool_first else pool
        channels = features
    parts += [nn.Flatten(), nn.Linear(network.flat, network.dense, bias=not network.dense_norm)]
    parts += [nn.BatchNorm1d(network.dense)] if network.dense_norm else []
    return nn.Sequential(*parts, nn.ReLU(), nn.Linear(network.dense, CLASSES))


def main():
    name, batch_size, mode, precision = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    torch.manual_seed(0)
    model = build(NETWORKS[name]).to(memory_format=torch.channels_last).train()
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == NETWORKS[name].parameters, f"{count} parameters, not {NETWORKS[name].parameters}"
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_of = nn.CrossEntropyLoss()
    forward = torch.compile(model) if mode == "compile" else model
    data = [
        (
            torch.from_numpy(as_float(images)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(labels).long(),
        )
        for images, labels in batches(batch_size)
    ]

    def run(count):
        for index in range(count):
            images, labels = data[index % len(data)]
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = loss_of(forward(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    serve(run)


if __name__ == "__main__":
    main()
