"""`DataSource`, the base class of data sources: a subclass overrides one hook, `load`."""

import contextlib
import difflib
import inspect
import operator
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, MissingExtraError, check_image_shape, whole_number
from ..files.text import listed
from .class_names import check_class_names
from .examples import ArrayExamples, Batch, DeviceExamples, Examples, check_examples
from .shuffling import shuffled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .shape_factors import Factors

SPLITS = ("train", "validation", "evaluation")


class DataSource:
    """The base class of data sources: the examples of named splits, shuffled by a seed.

    A subclass overrides one hook, `load`. Checks, order, batches and preview are inherited.

    >>> class Stripes(DataSource):
    ...     def __init__(self, seed=0):
    ...         super().__init__(seed=seed, image_shape=(28, 56, 1), class_names=("across", "down"))
    ...
    ...     def load(self, split):
    ...         labels = np.arange({"train": 100, "validation": 20, "evaluation": 20}[split]) % 2
    ...         images = np.zeros((len(labels), 28, 56, 1), np.uint8)
    ...         images[labels == 0, ::4] = 255
    ...         images[labels == 1, :, ::4] = 255
    ...         return images, labels
    >>> images, labels = next(Stripes().batches("train", batch_size=32, epoch=0))
    >>> images.shape, labels.shape
    ((32, 28, 56, 1), (32,))

    Args:
        image_shape: (height, width, channels) of all images, with sides from 1 to 4,096 and 1 to 4 channels.
        class_names: Names of the labels 0, 1, ...: see `check_class_names`.
        seed: Seed of the order of an epoch, from 0 to 2**32 - 1.

    Raises:
        InputError: An argument is invalid, or the subclass has no `load`, or only a method with a similar name.
    """

    content_size: int | None = None
    """Size in pixels of the content, for a subclass whose images each show one centred light object of that size on
    black: image files are then brought into this form (see `fit_image`). None: they are only scaled and padded."""

    splits: tuple[str, ...] = SPLITS
    """The splits of the source: some of train, validation and evaluation, and any others."""

    def __init__(self, *, image_shape: Sequence[int], class_names: Sequence[str], seed: int = 0):
        self.seed: int = whole_number("seed", seed, 0, 2**32 - 1)
        self.image_shape: tuple[int, int, int] = check_image_shape(image_shape)
        self.class_names: tuple[str, ...] = check_class_names(class_names)
        self._loaded: dict[str, Examples] = {}
        self._loading: set[tuple[str, int]] = set()
        self._check_hook()

    def load(self, split: str) -> tuple[ArrayLike, ArrayLike] | Examples:
        """The hook: returns the examples of a split.

        It is called once per split, when the split is first used.

        Args:
            split: A name in `splits`, such as "train".

        Returns:
            Images (n, h, w, c) uint8, or (n, h, w) for one channel, and integer labels (n,); or `Examples`.
        """
        raise NotImplementedError  # no object without this hook can be made: see `_check_hook`

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def size(self, split: str) -> int:
        """Returns the number of examples in a split."""
        return len(self._examples(split))

    def examples(self, split: str, indices: ArrayLike) -> Batch:
        """Returns images (b, h, w, c) uint8 and labels (b,) int32 for `indices` (b,) of a split.

        Raises:
            InputError: An index is out of range, or the subclass returned another shape or type, or a label that is not
                a class.
        """
        wanted = self._indices(split, indices)
        found = self._examples(split)[wanted]
        return check_examples(self._place(split), found, len(wanted), self.image_shape, self.num_classes)

    def example(self, split: str, index: int) -> tuple[NDArray[np.uint8], int]:
        """Returns one image (h, w, c) uint8 and its label, bit for bit as in any batch."""
        images, labels = self.examples(split, [index])
        return images[0], int(labels[0])

    def factors(self, split: str, indices: ArrayLike) -> "Factors[np.ndarray] | None":
        """Returns the `Factors` of the images at `indices` (b,) as numpy arrays; None if the source has no factors."""
        factors, wanted = getattr(self._examples(split), "factors", None), self._indices(split, indices)
        return None if factors is None else factors(wanted)

    def device_examples(self, split: str) -> DeviceExamples | None:
        """Returns how a compiled program makes the examples of a split without the host.

        It is None if they are neither drawn nor arrays that fit into a quarter of the device's memory, or if a subclass
        overrides `batches` or `examples`.
        """
        kind, examples = type(self), self._examples(split)
        inherited = kind.batches is DataSource.batches and kind.examples is DataSource.examples
        on_device = getattr(type(examples), "on_device", None)  # of the class: a wrapper's __getattr__ may forward it
        return on_device(examples) if inherited and on_device else None

    def leaked(self, split: str) -> NDArray[np.bool_]:
        """Returns (n,) bool, which examples of a split are known to depend on an earlier one: none by default.

        A copy, or an image of the same group, in an earlier split makes metrics on an example too high.
        """
        return np.zeros(self.size(split), bool)

    def groups_of(self, split: str) -> NDArray[np.intp] | None:
        """Returns the group (n,) int of each example of a split; None if all are independent, as by default.

        Examples of one group depend on each other, as frames of one film do. A group has the same number in all
        splits.
        """
        return None

    def batches(
        self,
        split: str,
        batch_size: int,
        epoch: int | None = None,
        *,
        first: int = 0,
        full: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """Yields a split in batches of images (b, h, w, c) uint8 and labels (b,) int32; one is in memory at a time.

        Args:
            split: A name in `splits`, such as "train".
            batch_size: Examples per batch; the last batch has the rest.
            epoch: The epoch whose shuffled order is used. None: the order of the indices.
            first: Index of the first batch, to resume in the middle of an epoch.
            full: Whether the last batch is filled up with the first examples of the epoch, so that all have one shape.
            part: (i, n) yields only part i, from 0, of n contiguous parts of each batch. They are equal if n divides
                the batch. The other parts are not drawn or read.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size}")
        size = self.size(split)
        end = -(-size // batch_size) * batch_size if full else size
        index, parts = part
        for start in range(first * batch_size, end, batch_size):
            count = min(start + batch_size, end) - start
            positions = np.arange(start + count * index // parts, start + count * (index + 1) // parts) % size
            yield self.examples(split, positions if epoch is None else shuffled(positions, size, (self.seed, epoch)))

    def show(self, n: int = 27, split: str = "train", columns: int = 9) -> "Figure":
        """Returns a matplotlib figure of the first `n` examples of a split with their class names, in `columns`."""
        from .preview import source_figure

        return source_figure(self, n, split, columns)

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        return f"{type(self).__name__}: {height}x{width}x{channels} images of {listed(self.class_names)}"

    def _repr_html_(self):
        """The HTML for a notebook; None without jinja2, and the notebook then shows the text."""
        from .preview import source_html

        with contextlib.suppress(MissingExtraError):
            return source_html(self)

    def settings(self) -> dict[str, Any]:
        """Returns the settings of this source as JSON values. A run resumes only with the same settings.

        "contents" has a digest of the images and labels of each split that is in memory. A subclass whose `Examples`
        read files should add what identifies these files.
        """
        loaded = [(split, self._examples(split)) for split in self.splits]
        contents = {split: examples.digest for split, examples in loaded if isinstance(examples, ArrayExamples)}
        return {
            "source": type(self).__name__,
            "seed": self.seed,
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
            "sizes": {split: self.size(split) for split in self.splits},
            **({"contents": contents} if contents else {}),
        }

    def _abstract_loads(self):
        """The `load` methods that a subclass must override."""
        return [DataSource.load]

    def _check_hook(self):
        """Raises `InputError` if the hook is missing, misspelt, or takes no split."""
        kind = type(self)
        owner = next(each for each in kind.__mro__ if "load" in vars(each))
        subclasses = kind.__mro__[: kind.__mro__.index(owner)]
        for method in dict.fromkeys(method for each in subclasses for method in vars(each)):
            if _resembles_load(method) and callable(getattr(kind, method)) and not hasattr(owner, method):
                raise InputError(
                    f"{kind.__name__} defines {method}, which nothing calls: rename it to load(self, split), the hook; "
                    "if it is something else, give it a name that is less like the hook's"
                )
        if owner.load in self._abstract_loads():
            raise InputError(
                f"{kind.__name__} has no load: define load(self, split) in a subclass, which returns the images and "
                "labels of a split"
            )
        try:
            inspect.signature(self.load).bind("train")
        except TypeError as error:
            raise InputError(f"{kind.__name__}.load must take one argument, the split: {error}") from error

    def _examples(self, split):
        known = tuple(dict.fromkeys([*SPLITS, *self.splits]))
        if split not in known:
            raise InputError(f"unknown split {split!r}: choose from {', '.join(known)}")
        if split not in self._loaded:
            self._loaded[split] = self._as_examples(split, self._load_once(split))
        return self._loaded[split]

    def _load_once(self, split):
        """What the hook returns; raises `InputError` where the hook asks for the very examples that it is to load."""
        loading = split, threading.get_ident()
        if loading in self._loading:
            raise InputError(
                f"{self._place(split)} must not use the size or the examples of {split!r}, because load itself defines "
                "them: decide the number of examples in load"
            )
        self._loading.add(loading)
        try:
            return self.load(split)
        finally:
            self._loading.discard(loading)

    def _as_examples(self, split, loaded):
        """The result of the hook as `Examples`. Arrays are checked at once."""
        place = self._place(split)
        if isinstance(loaded, (tuple, list)) and len(loaded) == 2:
            try:
                loaded = ArrayExamples(*loaded)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
        others = tuple, list, np.ndarray, dict, str
        if isinstance(loaded, others) or not all(hasattr(loaded, name) for name in ("__len__", "__getitem__")):
            values = f" of {len(loaded)}" if isinstance(loaded, (tuple, list)) else ""
            raise InputError(f"{place} must return (images, labels) or Examples, got {type(loaded).__name__}{values}")
        if len(loaded) < 1:
            raise InputError(f"{place} must have 1 example or more, got none")
        if isinstance(loaded, ArrayExamples):
            check_examples(place, (loaded.images, loaded.labels), len(loaded), self.image_shape, self.num_classes)
        return loaded

    def _place(self, split):
        """The name of a split's examples in messages."""
        return f"{type(self).__name__}.load({split!r})"

    def _indices(self, split, indices):
        indices, size = np.asarray(indices), self.size(split)
        if indices.ndim != 1 or not (np.issubdtype(indices.dtype, np.integer) or indices.size == 0):
            raise InputError(
                f"indices must be whole numbers (b,), got {indices.dtype} {indices.shape}; np.flatnonzero gives those "
                "of a mask"
            )
        indices = indices.astype(np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= size):
            raise InputError(f"split {split!r} has examples 0 to {size - 1}, not {indices.min()} to {indices.max()}")
        return indices


def sides(image_size: Any) -> tuple[int, int]:
    """Returns (height, width) of an image size: the side of a square, or (height, width) itself.

    Raises:
        InputError: It is neither.
    """
    try:
        side = operator.index(image_size)
        return side, side
    except TypeError:
        pass
    try:
        height, width = map(operator.index, image_size)
    except (TypeError, ValueError) as error:
        raise InputError(f"image_size must be a whole number or (height, width), got {image_size!r}") from error
    return height, width


def _resembles_load(name):
    """Whether a method is probably a misspelt hook: `_load`, `Load`, `laod`, `loads`, `load_split`."""
    word = name.strip("_").lower()
    alike = difflib.SequenceMatcher(None, word, "load").ratio() >= 0.75
    return name != "load" and (alike or (word.startswith("load") and not name.startswith("_")))
