"""PyTorch on a GPU, as its tuning guide advises: channels-last, autocast, fused Adam, compiled.

The networks are this library's, layer by layer. Arguments: a case, batch size, precision, a mode of `torch.compile`
("eager": not compiled), and a task: "arrays" trains on images in the device's memory, "predict" predicts images in
pinned memory of the host, "resident" predicts images in the device's memory.
"""

import sys

import torch
from gpu_networks import CASES, PREDICTED, RESIDENT, STEPS
from measuring import serve
from torch import nn


class Block(nn.Module):
    """Two convolutions, each after BatchNorm and ReLU, whose result is added to their input."""

    def __init__(self, channels):
        super().__init__()
        parts = []
        for _ in range(2):
            convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            parts += [nn.BatchNorm2d(channels), nn.ReLU(), convolution]
        self.body = nn.Sequential(*parts)

    def forward(self, x):
        return x + self.body(x)


def build(case) -> nn.Module:
    channels, features = case.patch**2, case.features
    parts = [nn.PixelUnshuffle(case.patch)]
    if case.network == "CNN":
        for layer, width in enumerate(features):
            parts.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            parts += [nn.MaxPool2d(2, ceil_mode=True)] if layer in (1, 3) else []
            parts += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        parts += [nn.Flatten(), nn.LazyLinear(128, bias=False), nn.BatchNorm1d(128), nn.ReLU()]
        parts.append(nn.Linear(128, case.classes))
    else:
        parts.append(nn.Conv2d(channels, features[0], 3, padding=1, bias=False))
        for stage, width in enumerate(features):
            if stage:
                parts += [nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(features[stage - 1], width, 1, bias=False)]
            parts.append(Block(width))
        parts += [nn.BatchNorm2d(features[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        parts.append(nn.Linear(features[-1], case.classes))
    return nn.Sequential(*parts)


def main():
    name, batch_size, precision, mode, what = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
    case = CASES[name]
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    model = build(case)
    model(torch.zeros(2, 1, case.side, case.side))  # infers the input size of the first dense layer
    model = model.cuda().to(memory_format=torch.channels_last)
    forward = model if mode == "eager" else torch.compile(model, mode=None if mode == "compile" else mode)
    amp = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16")
    work = training if what == "arrays" else predicting
    count = sum(parameter.numel() for parameter in model.parameters())
    serve(work(case, model, forward, amp, batch_size, what), f"{count}")


def as_float(images):
    return images.float() / 127.5 - 1


def training(case, model, forward, amp, batch_size, what):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_of = nn.CrossEntropyLoss()
    images, labels = case.images(RESIDENT)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).cuda()
    labels = torch.from_numpy(labels).long().cuda()

    def run(count):
        for _ in range(count):
            order = torch.randint(RESIDENT, (STEPS, batch_size), device="cuda")
            for indices in order:
                with amp:
                    loss = loss_of(forward(as_float(images[indices])), labels[indices])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        torch.cuda.synchronize()

    return run


def predicting(case, model, forward, amp, batch_size, what):
    model.eval()
    images = torch.from_numpy(case.images(PREDICTED)[0]).permute(0, 3, 1, 2).pin_memory()
    parts = images.split(batch_size)
    if what == "resident":
        parts = [part.cuda() for part in parts]

    @torch.inference_mode()
    def run(count):
        for _ in range(count):
            for part in parts:
                with amp:
                    logits = forward(as_float(part.cuda(non_blocking=True)))
                if what == "predict":
                    logits.float().cpu()
        torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    main()
