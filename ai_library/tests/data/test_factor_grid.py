"""What is held out is in `held_out` alone, and what is left is drawn as usual but for that."""

import itertools
import json

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_library import (
    SHAPES,
    FactorGrid,
    HeldOut,
    InputError,
    ShapeDataSource,
    ShapeRanges,
    SpuriousCue,
    folds,
)
from ai_library.data.shape_factors import SYMMETRY
from ai_library.training.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("quickly_compiled")

TREE = {"weights": np.arange(3, dtype=np.float32)}
RARE = ("star", "cross")
SMALL, LARGE = FactorGrid(size=3, contrast=3, filled=2), FactorGrid(size=3, contrast=3, rotation=3, polarity=2)
DESIGNS = {
    "single cells": SMALL.cells({"class": "star", "size": 2, "contrast": 0}, {"class": ["cross", "circle"], "size": 1}),
    "a row": SMALL.row("size"),
    "a row of one class": LARGE.row("rotation", 0, ["star", "circle"]),
    "inner cells": FactorGrid(size=4, contrast=3, filled=2).inner(),
    "ladder, 1": LARGE.ladder(1, RARE),
    "ladder, 3": LARGE.ladder(3, RARE),
    "all but one": FactorGrid(size=2, noise=8, x=8, y=8).cells(
        {"size": 0}, {"noise": range(7)}, {"x": range(1, 8)}, {"y": range(7)}
    ),
}
THIN = ShapeRanges(outset=(0, 0))
"""So that even the largest shapes leave room to tell `x` and `y` by."""


def cell(values, low, high, parts):
    """The cells of values, nan for one that lies so near to an edge that rounding decides."""
    place = (np.asarray(values, np.float64) - low) / (high - low) * parts
    return np.where(np.abs(place - np.round(place)) < 1e-3, np.nan, np.floor(place))


def expected(design, f):
    """Which images are of held-out combinations, worked out from what they show; nan where rounding decides."""
    star, cross = f.label == SHAPES.index("star"), f.label == SHAPES.index("cross")
    circle, rare = f.label == SHAPES.index("circle"), star | cross
    size, contrast = (lambda n: cell(f.size / 64, 0.14, 0.48, n)), (lambda n: cell(f.contrast, 0.3, 1.0, n))
    turn = np.maximum(np.array(SYMMETRY)[f.label], 1e-9)
    rotation = np.where(circle, -1, cell(f.rotation / turn, 0, 1, 3))
    light = f.foreground.mean(axis=1) > f.background.mean(axis=1)
    if design == "single cells":
        named = [star, size(3) == 2, contrast(3) == 0], [cross | circle, size(3) == 1]
        return np.logical_or(*[np.logical_and.reduce(each) for each in named]), [size(3), contrast(3)]
    if design == "a row":
        return size(3) == 2, [size(3)]
    if design == "a row of one class":
        return star & (rotation == 0), [rotation]
    if design == "inner cells":
        return np.isin(size(4), [1, 2]) & (contrast(3) == 1), [size(4), contrast(3)]
    if design == "all but one":
        room = 32 - f.size - f.outset
        x, y = (cell((f.center[:, i] - 32) / room, -1, 1, 8) for i in (0, 1))
        noise = cell(f.noise, 0, 0.06, 8)
        return ~((size(2) == 1) & (noise == 7) & (x == 0) & (y == 7)), [size(2), noise, x, y]
    count = rare + 0 + (size(3) == 2) + (contrast(3) == 2) + (rotation == 2) + light
    return count > int(design[-1]), [size(3), contrast(3), rotation]


@pytest.mark.slow
@pytest.mark.parametrize(("design", "n"), [*[(name, 20_000) for name in DESIGNS], ("ladder, 1", 10**5)])
def test_held_out_combinations_are_in_held_out_alone(design, n):
    """10^6 of each design are judged by `benchmarks/held_out.py`."""
    source = ShapeDataSource(seed=3, sizes=(n, n // 10, n // 10, n), hold_out=DESIGNS[design], ranges=THIN)
    for split in source.splits:
        factors = source.factors(split, range(source.size(split)))
        held, cells = expected(design, factors)
        sure = ~np.isnan(np.sum(cells, axis=0))
        assert sure.mean() > 0.97
        assert (held[sure] == (split == "held_out")).all()
        count = np.bincount(factors.label, minlength=9)
        assert np.ptp(count[count > 0]) <= 4
        assert (count > 0).all() or split == "held_out"


@pytest.fixture(scope="module")
def usual():
    """The factors of images without a design."""
    return ShapeDataSource(seed=1, sizes=(50_000, 1, 1), ranges=THIN).factors("train", range(50_000))


@pytest.mark.slow
@pytest.mark.parametrize("design", ["single cells", "ladder, 1", "inner cells"])
def test_what_is_left_is_drawn_as_without_it(usual, design):
    """As the images of an ordinary source that are not held out are, and the held-out ones as those that are."""
    n = len(usual.label)
    held = expected(design, usual)[0]
    source = ShapeDataSource(seed=2, sizes=(n, 1, 1, n), hold_out=DESIGNS[design], ranges=THIN)
    for split, wanted in (("train", ~held), ("held_out", held)):
        found = source.factors(split, range(n))
        for name in ("star", "cross", "square"):
            one, other = (usual.label == SHAPES.index(name)) & wanted, found.label == SHAPES.index(name)
            if not one.any():
                assert not other.any()
                continue
            for factor in ("size", "contrast", "rotation", "noise", "filled"):
                test = scipy.stats.ks_2samp(
                    *[np.float64(getattr(f, factor)[i]) for f, i in ((usual, one), (found, other))]
                )
                assert test.pvalue > 1e-4, (split, name, factor)


@pytest.fixture(scope="module")
def steered():
    """A source that asks for everything at once."""
    return ShapeDataSource(
        seed=4, image_size=16, sizes=(3000, 300, 300, 300), hold_out=FactorGrid(x=2, contrast=3).ladder(1, ("cross",)),
        label_noise=0.3, class_shares=range(1, 10), spurious=SpuriousCue("noise", 0.7), ranges=THIN,
    )  # fmt: skip


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    split=st.sampled_from(["train", "validation", "evaluation", "held_out"]),
    indices=st.lists(st.integers(0, 299), min_size=1, max_size=150),
    data=st.data(),
)
def test_an_example_is_the_same_in_every_batch(steered, split, indices, data):
    images, labels = steered.examples(split, indices)
    factors = steered.factors(split, indices)
    row = data.draw(st.integers(0, len(indices) - 1))
    image, label = steered.example(split, indices[row])
    np.testing.assert_array_equal(images[row], image)
    assert labels[row] == label
    for batch, alone in zip(factors, steered.factors(split, [indices[row]]), strict=True):
        np.testing.assert_array_equal(batch[row], alone[0])


@pytest.mark.slow
def test_processes_and_a_resumed_run_get_the_same_items(steered):
    whole = list(steered.batches("train", 500, 2))
    parts = [list(steered.batches("train", 500, 2, part=(i, 3))) for i in range(3)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for i in (0, 1):
            np.testing.assert_array_equal(np.concatenate([share[i] for share in shares]), batch[i])
    for later, batch in zip(steered.batches("train", 500, 2, first=4), whole[4:], strict=True):
        np.testing.assert_array_equal(later[0], batch[0])
        np.testing.assert_array_equal(later[1], batch[1])


@pytest.mark.slow
def test_a_device_draws_the_same_labels(steered):
    fetch, data = steered.device_examples("train")
    indices = np.arange(500, dtype=np.uint32)
    images, labels = map(np.asarray, jax.jit(fetch)(data, indices))
    wanted, wanted_labels = steered.examples("train", indices)
    np.testing.assert_array_equal(labels, wanted_labels)
    assert np.abs(images.astype(int) - wanted).max() <= 1  # another program may round a level the other way


def test_a_run_is_resumed_under_the_same_design_alone(tmp_path):
    def opened(resume=False, **design):
        settings = {"train": {"epochs": 1}, "source": ShapeDataSource(**design).settings()}
        return RunDirectory.opened(tmp_path / "run", settings, resume=resume)

    design = {"hold_out": LARGE.ladder(1, RARE), "label_noise": 0.1, "spurious": SpuriousCue("x", 0.5, 9)}
    record = {"step": 1, "loss": 0.0, "correct": 0, "history": [], "stopped": False}
    with opened(**design) as run:
        run.save(record, TREE)
    told = json.loads((tmp_path / "run/config.json").read_text())["source"]
    assert told["hold_out"]["grid"] == {"size": 3, "contrast": 3, "rotation": 3, "polarity": 2}
    assert told["hold_out"]["combinations"][4] == {"size": [2], "contrast": [2]}
    with opened(resume=True, **design) as run:
        assert run.restore(TREE, 2)[0] == record
    others = {"hold_out": LARGE.ladder(2, RARE), "label_noise": 0.2, "spurious": None, "class_shares": range(1, 10)}
    for name, other in others.items():
        with (
            pytest.raises(InputError, match=f"other settings: .*{name}"),
            opened(resume=True, **design | {name: other}) as run,
        ):
            run.restore(TREE, 2)


def test_a_source_without_a_design_tells_of_none():
    assert ShapeDataSource().settings().keys() == {"source", "seed", "class_names", "image_shape", "sizes", "ranges"}
    assert ShapeDataSource().splits == ("train", "validation", "evaluation")


def test_the_table_counts_what_a_ladder_holds_out():
    """Of 9 x 3 x 3 x 2 combinations; rare are 2 of 9 classes, 1 of 3 cells twice, 1 of 2 cells."""
    grid = FactorGrid(size=3, contrast=3, filled=2)
    none = 7 * 2 * 2 * 1
    one = 2 * 2 * 2 * 1 + 7 * 1 * 2 * 1 + 7 * 2 * 1 * 1 + 7 * 2 * 2 * 1
    all_ = 2 * 1 * 1 * 1
    three = 7 * 1 * 1 * 1 + 2 * 2 * 1 * 1 + 2 * 1 * 2 * 1 + 2 * 1 * 1 * 1
    tables = [grid.ladder(known, RARE).table(SHAPES) for known in (1, 2, 3)]
    assert [table.sum() for table in tables] == [162 - none - one, three + all_, all_]
    for lower, higher in itertools.pairwise(tables):
        assert (lower >= higher).all()  # what a higher step holds out, a lower one does, too
    assert grid.ladder(1, RARE, rare=2).table(SHAPES).sum() > tables[0].sum()


def test_a_ladder_shows_each_combination_of_as_many_factors_as_are_known():
    grid = FactorGrid(size=3, contrast=3, polarity=2)
    for known in (1, 2, 3):
        left = ~grid.ladder(known, RARE).table(SHAPES)
        for axis in range(4):
            assert left.any(axis=axis).all() == (known == 3)
        assert left.any(axis=(1, 2, 3)).all()


@pytest.mark.slow
def test_no_fold_holds_what_is_held_out():
    held = FactorGrid(contrast=2).row("contrast")
    source = ShapeDataSource(image_size=16, class_names=RARE, sizes=(20, 10, 10, 5), hold_out=held, ranges=THIN)
    assert [sum(map(fold.size, fold.splits)) for fold in folds(source, 3)] == [40] * 3


def with_grid(design, **arguments):
    return lambda: ShapeDataSource(hold_out=design, **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FactorGrid(colour=3), "unknown factor 'colour': choose from size, rotation"),
        (lambda: FactorGrid(size=1), "the number of cells of size must be a whole number from 2 to 64, got 1"),
        (lambda: FactorGrid(filled=3), "from 2 to 2, got 3"),
        (FactorGrid, "1 factor or more"),
        (lambda: FactorGrid(size=64, x=64, y=2), "at most 4,096 cells, got 8,192"),
        (lambda: SMALL.cells(), "must name a combination or more"),
        (lambda: SMALL.cells({}), "which is everything"),
        (lambda: SMALL.cells({"size": 3}), "the cell of size must be a whole number from 0 to 2, got 3"),
        (lambda: SMALL.cells({"size": []}), "a cell or more of size, got none"),
        (lambda: SMALL.cells({"noise": 0}), "the grid has no factor 'noise': it has size, contrast, filled"),
        (lambda: FactorGrid(size=2).inner(), "need 3 cells or more of each range"),
        (lambda: SMALL.ladder(4, RARE), "known must be a whole number from 1 to 3, got 4"),
        (lambda: SMALL.ladder(1, ()), "a ladder needs a rare class"),
        (lambda: FactorGrid(size=2, x=4).ladder(1, RARE, 2), "rare must leave a cell of size, which has 2, got 2"),
        (with_grid(SMALL.cells({"class": "heart"})), "hold_out names the class 'heart'"),
        (with_grid(SMALL.cells({"class": "star"})), "leaves no combination to train on of star"),
        (with_grid(SMALL.cells({"size": [0, 1, 2]})), "leaves no combination to train on of circle, ellipse"),
        (with_grid(FactorGrid(rotation=2).row("rotation", classes=["circle"])), "holds nothing out"),
        (with_grid(FactorGrid(stroke=2).row("stroke")), 'there are filled shapes: divide "filled", too'),
        (with_grid(FactorGrid(tint=2).row("tint")), "grey images show none"),
        (with_grid(SMALL.row("size"), ranges=ShapeRanges(contrast=(1, 1))), r"its range is \(1, 1\)"),
        (with_grid(FactorGrid(size=30).row("size")), "size must have cells that end above 0.0781 and begin below 0.45"),
        (with_grid(SMALL.row("size"), sizes=(1, 1)), "examples in train, validation, evaluation, held_out"),
        (with_grid(SMALL.row("size"), spurious=SpuriousCue("size", 1)), "must not be a factor of hold_out, too"),
        (lambda: ShapeDataSource().example("held_out", 0), "unknown split 'held_out'"),
    ],
)  # fmt: skip
def test_a_design_that_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_source_that_draws_nothing_takes_no_design():
    class Own(ShapeDataSource):
        def load(self, split):
            return np.zeros((2, 8, 8, 1), np.uint8), [0, 1]

    with pytest.raises(InputError, match="hold_out must be left out where ranges is None"):
        Own(image_size=8, class_names=("a", "b"), ranges=None, hold_out=HeldOut(SMALL, ({"size": 1},)))
    assert not Own(image_size=8, class_names=("a", "b"), ranges=None).mislabelled("train").any()


@pytest.mark.slow
def test_strokes_are_held_out_of_outlines_alone():
    design = FactorGrid(filled=2, stroke=4).cells({"stroke": 3})
    source = ShapeDataSource(sizes=(5000, 1, 1, 500), hold_out=design)
    factors, held = source.factors("train", range(5000)), source.factors("held_out", range(500))
    assert factors.stroke.max() <= 64 * (0.015 + 0.75 * 0.085) + 1e-4 < held.stroke.min() + 2e-4
    assert not held.filled.any()
    assert 0.5 < factors.filled.mean() < 0.63  # 4 of 7 parts
