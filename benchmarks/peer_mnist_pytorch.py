"""PyTorch's official MNIST example (github.com/pytorch/examples, mnist/main.py), written anew with its settings.

Adadelta at 1.0, times 0.7 an epoch, batches of 64, 14 epochs, the test set after each. Kinder to it than the original:
the images are normalised once and held in memory, where the original decodes and normalises each in every epoch.
Prints `epoch accuracy seconds-since-start` for each epoch and stops at the target.
"""

import argparse
import time

import torch
from mnist_arrays import read_mnist
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(1),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist-files", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=0.99)
    parser.add_argument("--start", type=float, default=time.time(), help="when the process was started (time.time())")
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    splits = []
    for images, labels in read_mnist(arguments.mnist_files):
        pixels = (torch.from_numpy(images.copy()).float()[:, None] / 255 - 0.1307) / 0.3081
        splits.append(torch.utils.data.TensorDataset(pixels, torch.from_numpy(labels.copy()).long()))
    train = torch.utils.data.DataLoader(splits[0], batch_size=64, shuffle=True)
    test = torch.utils.data.DataLoader(splits[1], batch_size=1000)
    net = Net()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, 15):
        net.train()
        for images, labels in train:
            optimizer.zero_grad()
            nn.functional.nll_loss(net(images), labels).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            right = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in test)
        print(epoch, right / len(splits[1]), time.time() - arguments.start, flush=True)
        if right / len(splits[1]) >= arguments.target:
            return
        schedule.step()


if __name__ == "__main__":
    main()
