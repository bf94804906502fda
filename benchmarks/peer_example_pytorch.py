"""PyTorch's official MNIST example (github.com/pytorch/examples, mnist/main.py), written anew with its settings.

Adadelta at 1.0, times 0.7 an epoch, batches of 64, 14 epochs, the test set after each. Kinder to it than the original:
the images are normalised once and held in memory, where the original decodes and normalises each in every epoch.
Prints `epoch accuracy seconds-since-start` for each epoch and stops at the target.
"""

import torch
from example_data import over, peer_parser, read
from torch import nn


class Net(nn.Module):
    def __init__(self, side, classes):
        super().__init__()
        flat = 64 * ((side - 4) // 2) ** 2
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, classes), nn.LogSoftmax(1),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images)


def main():
    arguments = peer_parser(__doc__).parse_args()
    torch.manual_seed(arguments.seed)
    splits = read(arguments.data)
    train_images, train_labels = splits[0]
    mean, deviation = train_images.mean() / 255, train_images.std() / 255  # of MNIST: 0.1307 and 0.3081
    train, test = (
        torch.utils.data.TensorDataset(
            (torch.from_numpy(images).float()[:, None] / 255 - mean) / deviation, torch.from_numpy(labels)
        )
        for images, labels in splits
    )
    train = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
    test = torch.utils.data.DataLoader(test, batch_size=1000)
    net = Net(train_images.shape[1], int(train_labels.max()) + 1)
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
        if over(arguments, epoch, right / len(test.dataset)):
            return
        schedule.step()


if __name__ == "__main__":
    main()
