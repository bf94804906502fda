"""Prediction in PyTorch, in `inference_mode`: as it comes, channels-last, or compiled with frozen weights; files by a
`DataLoader`, channels-last.

`bulk` takes "float32" or "bfloat16" (autocast) after the weights.
"""

import functools

import numpy as np
import torch
from PIL import Image
from same_weights import BATCH_SIZES, SameWeights, contestant, image_files, unit_of_images, write_table
from torch import nn

KINDS = {nn.Conv2d: "Conv", nn.BatchNorm2d: "BatchNorm", nn.BatchNorm1d: "BatchNorm", nn.Linear: "Dense"}


def convert(weights, model):
    weights = SameWeights(weights)
    torch.save({"network": weights.name, "state": built(weights).state_dict()}, model)


def built(weights):
    from peer_step_pytorch import build

    model = build(weights.network).eval()
    names = {"scale": "weight", "kernel": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    with torch.no_grad():
        for layer, arrays in weights.channels_first().of(model, KINDS):
            for leaf, array in arrays.items():  # a kernel's output channels come first here
                array = array.T if array.ndim == 2 else array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
                getattr(layer, names[leaf]).copy_(torch.from_numpy(array.copy()))
    return model


def bulk(weights, precision):
    from measuring import fastest, serve
    from networks import as_float

    torch._inductor.config.freezing = True  # what TORCHINDUCTOR_FREEZING=1 sets
    weights = SameWeights(weights)
    model = built(weights)
    last = built(weights).to(memory_format=torch.channels_last)

    def prepared(images, layout):
        return torch.from_numpy(as_float(images)).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def run(model, batches, count):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            for _ in range(count):
                for batch in batches:
                    logits = model(batch)
        return logits

    modes = {
        "eager": (lambda size: model, torch.contiguous_format),
        "channels-last": (lambda size: last, torch.channels_last),
        "compiled": (lambda size: torch.compile(last, dynamic=False), torch.channels_last),
    }
    ways = {}
    for mode, (make, layout) in modes.items():
        for size in BATCH_SIZES:
            ready = make(size)
            logits = run(ready, [prepared(weights.images, layout)], 1).float()
            weights.check(logits, 1e-4 if precision == "float32" else 0.05)
            batches = prepared(unit_of_images(), layout).split(size)
            ways[f"{mode}, batches of {size}"] = functools.partial(run, ready, batches)
    name, way = fastest(ways)
    serve(way, name)


class _Files(torch.utils.data.Dataset):
    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with Image.open(self.files[index]) as image:
            return torch.from_numpy(np.asarray(image.convert("L"))[np.newaxis].astype(np.float32) / 127.5 - 1)


def files(model, folder, table):
    from networks import NETWORKS
    from peer_step_pytorch import build

    saved = torch.load(model, weights_only=True)
    network = build(NETWORKS[saved["network"]]).eval()
    network.load_state_dict(saved["state"])
    network = network.to(memory_format=torch.channels_last)
    found = image_files(folder)
    # Processes that read take longer to start than they save on a few.
    loader = torch.utils.data.DataLoader(_Files(found), batch_size=64, num_workers=2 if len(found) > 1000 else 0)
    with torch.inference_mode():
        logits = [network(batch.to(memory_format=torch.channels_last)) for batch in loader]
    write_table(table, found, torch.cat(logits))


if __name__ == "__main__":
    contestant(bulk=bulk, convert=convert, files=files)
