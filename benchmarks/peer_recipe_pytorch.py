"""The recipe of `train_shapes.py` in PyTorch: its network, optimizer, schedule and random flips, on the same images.

As PyTorch's tuning guide advises: channels-last, gradients set to None, and with `--compile` `torch.compile`. Kinder to
it than ours: the images are drawn beforehand. `--recipe` has the network's and the training's settings as JSON.
Prints `epoch accuracy seconds-since-start` after the last epoch.
"""

import json
import math

import torch
from example_data import over, peer_parser, read
from torch import nn
from torch.nn.functional import conv2d

POOLED = (1, 3)


class Conv(nn.Module):
    """A 3x3 convolution without bias. Its kernel is a matrix, which is what PyTorch's Muon takes."""

    def __init__(self, channels, features):
        super().__init__()
        self.matrix = nn.Parameter(_lecun_normal(features, 9 * channels))

    def forward(self, x):
        kernel = self.matrix.view(self.matrix.shape[0], -1, 3, 3).contiguous(memory_format=torch.channels_last)
        return conv2d(x, kernel, padding=1)


def _lecun_normal(outputs, inputs):
    """As linen draws kernels: a normal distribution cut at two deviations, with the variance 1 / inputs."""
    deviation = math.sqrt(1 / inputs) / 0.87962566103423978  # which the cut reduces by this factor
    return nn.init.trunc_normal_(torch.empty(outputs, inputs), std=deviation, a=-2 * deviation, b=2 * deviation)


def build(recipe, side):
    layers, channels, cells = [nn.PixelUnshuffle(recipe["patch"])], recipe["patch"] ** 2, side // recipe["patch"]
    for layer, features in enumerate(recipe["features"]):
        pool = [nn.MaxPool2d(2)] if layer in POOLED else []
        layers += [Conv(channels, features), *pool, nn.BatchNorm2d(features), nn.ReLU()]
        channels, cells = features, cells // 2 if pool else cells
    width = recipe["dense"]
    dense = nn.Linear(channels * cells**2, width, bias=False), nn.Linear(width, recipe["num_classes"])
    with torch.no_grad():
        for layer in dense:
            layer.weight.copy_(_lecun_normal(*layer.weight.shape))
        dense[1].bias.zero_()
    layers += [nn.Flatten(), dense[0], nn.BatchNorm1d(width), nn.ReLU(), dense[1]]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def optimizers(recipe, net, steps):
    """Muon for the convolutions, NAdam for all other weights, each with the schedule."""
    highest, muon = recipe["learning_rate"], recipe["optimizer_arguments"]
    kernels = [part.matrix for part in net if isinstance(part, Conv)]
    chosen = {id(kernel) for kernel in kernels}
    others = [weight for weight in net.parameters() if id(weight) not in chosen]
    pair = (
        torch.optim.Muon(
            kernels,
            lr=5 * highest,  # "match_rms_adamw" divides by 5 what `consistent_rms=1` gives in optax
            weight_decay=0,
            momentum=muon["beta"],
            ns_steps=muon["ns_steps"],
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.NAdam(others, lr=highest),
    )
    peak = math.floor(recipe["warmup"] * steps)

    def factor(step):  # the half cosines of `ai_library.training.optimizers.OneCycle`
        if step < peak:
            return 0.1 + 0.9 * (1 - math.cos(math.pi * step / peak)) / 2
        return 1e-5 + (1 - 1e-5) * (1 + math.cos(math.pi * (step - peak) / (steps - peak))) / 2

    return [(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)) for optimizer in pair]


def flipped(images, share):
    """This share of the images mirrored from left to right."""
    chosen = torch.rand(len(images)) < share
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def main():
    parser = peer_parser(__doc__)
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--recipe", type=json.loads, required=True, metavar="JSON")
    arguments = parser.parse_args()
    recipe = arguments.recipe
    torch.manual_seed(arguments.seed)
    (images, labels), (test_images, test_labels) = (
        (torch.from_numpy(images)[:, None], torch.from_numpy(labels)) for images, labels in read(arguments.data)
    )
    net = build(recipe, images.shape[2])
    forward = torch.compile(net) if arguments.compile else net
    batch, epochs = recipe["batch_size"], recipe["epochs"]
    pair = optimizers(recipe, net, len(images) // batch * epochs)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(epochs):
        net.train()
        order = torch.randperm(len(images))
        for first in range(0, len(images) - batch + 1, batch):
            chosen = order[first : first + batch]
            loss = loss_of(forward(flipped(as_float(images[chosen]), recipe["flip"])), labels[chosen])
            for optimizer, _ in pair:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer, schedule in pair:
                optimizer.step()
                schedule.step()
    net.eval()
    with torch.no_grad():
        parts = zip(test_images.split(1000), test_labels.split(1000), strict=True)
        right = sum(int((net(as_float(images)).argmax(1) == labels).sum()) for images, labels in parts)
    over(arguments, epochs, right / len(test_labels))


def as_float(images):
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
