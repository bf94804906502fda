"""The table of what a data source found in a folder, to be checked before training."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...files.text import counted, escaped, listed, shortened
from .file_kinds import reasons_told

_ROWS = 30  # of classes
_NAME = 40  # characters of a class
_FEW_IMAGES = 20
_IMBALANCE = 20
_NO_CLASS = {"train", "training", "test", "testing", "val", "valid", "validation", "images", "labels", "annotations"}


@dataclass(frozen=True)
class FolderSummary:
    """The images of a folder by split and class, their sizes and modes, and what was left out. `print` it."""

    class_names: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    """Number of images of each class, by split."""
    image_sizes: Counter[tuple[int, int]]
    """Number of images by stored (width, height) in pixels."""
    modes: Counter[str]
    """Number of images by Pillow's mode: "L" is grey, "RGB" colour, "RGBA" colour with alpha, ..."""
    passed_over: Counter[str]
    """Number of unused files, by reason."""
    notes: tuple[str, ...]
    """How the folder was interpreted."""
    warnings: tuple[str, ...]
    """Probable mistakes in the folder."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self):
        names = [shortened(escaped(name), _NAME) for name in self.class_names[:_ROWS]]
        if more := len(self.class_names) - _ROWS:
            names += [f"{more:,} more classes"] if more > 0 else []
        wide = max(len("all classes"), *map(len, names))
        yield f"{'images':{wide}}" + "".join(f"{split:>12}" for split in self.counts)
        rows = [[f"{counts[label]:,}" for counts in self.counts.values()] for label in range(len(self.class_names))]
        if more > 0:
            rows = [*rows[:_ROWS], [_range(counts[_ROWS:]) for counts in self.counts.values()]]
        for name, row in zip(names, rows, strict=True):
            yield f"{name:{wide}}" + "".join(f"{count:>12}" for count in row)
        yield f"{'all classes':{wide}}" + "".join(f"{sum(counts):>12,}" for counts in self.counts.values())
        yield f"sizes: {_sizes(self.image_sizes)}"
        yield "modes: " + ", ".join(f"{mode} ({count:,})" for mode, count in self.modes.most_common())
        if self.passed_over:
            yield f"passed over: {reasons_told(self.passed_over, 12)}"
        yield from (f"note: {escaped(note)}" for note in self.notes)
        yield from (f"warning: {escaped(warning)}" for warning in self.warnings)


def warnings_of(
    class_names: Sequence[str],
    counts: Mapping[str, Sequence[int]],
    image_sizes: Counter[tuple[int, int]],
    wanted: tuple[int, int],
) -> list[str]:
    """Warnings about the numbers and sizes of images, which the source fits into `wanted` (height, width)."""
    found = []
    totals = {name: sum(each) for name, each in zip(class_names, zip(*counts.values(), strict=True), strict=True)}
    if few := {name: n for name, n in totals.items() if n < _FEW_IMAGES}:
        told = listed([f"{name} ({n})" for name, n in few.items()])
        found.append(
            f"classes with fewer than {_FEW_IMAGES} images: {told}; what is measured of them rests on one or two "
            "images each: add some, or use cross-validation"
        )
    least, most = min(totals, key=lambda name: totals[name]), max(totals, key=lambda name: totals[name])
    if totals[most] > _IMBALANCE * totals[least]:
        found.append(
            f"{most} has {counted(totals[most], 'image')} and {least} {totals[least]:,}: look at macro F1, not accuracy"
        )
    for split, each in counts.items():
        if lacking := [name for name, n in zip(class_names, each, strict=True) if not n]:
            found.append(f"the {split} split has no images of {listed(lacking)}: nothing is measured of them there")
    folded = Counter(name.casefold() for name in class_names)
    if alike := [name for name in class_names if folded[name.casefold()] > 1]:
        found.append(f"the classes {listed(alike)} differ only in capital letters")
    if odd := [name for name in class_names if name.casefold() in _NO_CLASS]:
        found.append(f"the folder's names {listed(odd)} are taken for classes: is the folder the one that holds them?")
    small = sum(n for (width, height), n in image_sizes.items() if width < wanted[1] // 2 and height < wanted[0] // 2)
    if small:
        size = f"{wanted[1]}x{wanted[0]}"
        found.append(f"{counted(small, 'image')} of less than half the size that all are fitted into, {size}")
    return found


def _range(counts):
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _sizes(counts):
    told = [f"{width}x{height} ({count:,})" for (width, height), count in counts.most_common(3)]
    if len(counts) <= len(told):
        return ", ".join(told)
    (low_width, low_height), (high_width, high_height) = (end(counts, key=math.prod) for end in (min, max))
    return f"{low_width}x{low_height} to {high_width}x{high_height}, most often {', '.join(told)}"
