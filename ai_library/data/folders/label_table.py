"""Reads the labels of images from a table with the columns path,label[,split][,group]."""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...files.text import counted, listed, shortened
from ..class_names import nfc
from .layout import ImageFile, Layout, split_named, walk

_COLUMNS = {
    "path": (  # an id may be a row number, so unambiguous names come first
        *("path", "image_path", "filepath", "file_path", "file", "filename", "file_name"),
        *("image", "image_id", "id"),
    ),
    "label": ("label", "class", "class_name", "category", "target", "species", "breed"),
    "split": ("split", "set", "subset"),
    "group": ("group", "group_id", "patient", "patient_id", "subject", "subject_id"),
}
"""The names of columns; capitals, spaces, "-" and "_" in them do not matter."""
_NO_ROW = "without a row in the table of labels"


def table_layout(table: str | Path, folder: str | Path, *, groups: bool = True) -> Layout:
    """The layout of images anywhere in a folder, with their labels in a table.

    Args:
        table: A CSV file in UTF-8, separated by commas, semicolons or tabs. Its first line names the columns. "path" is
            the image's path below the folder, without its ending if it is unique, or its name if that is unique.
            "label" is the class. "split" and "group" are optional. These columns may have other usual names, such as
            "PatientID"; a note tells the columns that are not used.
        folder: The folder of the images.
        groups: Whether images of one group, if the table has this column, stay in one split. If the table has splits,
            these remain as they are.

    Raises:
        InputError: The table is invalid, or has images that are missing, of an unknown split, or twice with different
            labels, splits or groups.
    """
    table, folder = Path(table), Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name the one that holds the images of {table}")
    rows, unused = _rows(table)
    images, passed_over = {}, Counter()
    for path, parts, reason in walk(folder):
        if reason:
            passed_over[reason] += 1
        else:
            images[nfc("/".join(parts))] = path
    found, missing, elsewhere = _found(rows, images, folder)
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(rows):,} images in {table} are not in {folder}, or there more than once: "
            f"{listed(missing, 5)}: give paths below the folder"
        )
    _check_repeated(table, found, rows, ("label", "split", "group") if groups else ("label", "split"))
    by_name = dict(zip(found, rows, strict=True))
    if left_out := len(images) - len(by_name):
        passed_over[_NO_ROW] += left_out
    class_names = class_order({row["label"] for row in rows})
    labels = {name: label for label, name in enumerate(class_names)}
    files = [
        ImageFile(
            images[name],
            labels[row["label"]],
            f"{row['group']}/" if groups and row["group"] else f"{row['label']}/{name}",
            row["split"],
        )
        for name, row in sorted(by_name.items(), key=lambda item: (labels[item[1]["label"]], item[0]))
    ]
    _check_splits(table, files, class_names)
    notes = [f"labels are those of {table}" + (f"; columns not used: {listed(unused, 10)}" if unused else "")]
    if groups and any(row["group"] for row in rows):
        meant = "are taken as dependent" if any(row["split"] for row in rows) else "are kept together in one split"
        notes.append(f"images of one group in it {meant}")
    warnings = [f"{counted(left_out, 'image')} without a row in {table}: not used"] if left_out else []
    if elsewhere:
        warnings.append(
            f"{len(elsewhere):,} paths in {table} were found without the first of their folders, such as {elsewhere[0]}"
        )
    repeated = len(found) - len(by_name)
    warnings += [f"{repeated:,} rows of {table} name an image that has one already"] if repeated else []
    return Layout(folder, class_names, tuple(files), passed_over, tuple(notes), tuple(warnings))


def _check_repeated(table, found, rows, kinds):
    """Raises an `InputError` if two rows say something else of one image."""
    for kind in kinds:
        said = defaultdict(set)
        for name, row in zip(found, rows, strict=True):
            said[name].add(row[kind])
        if twice := next((name for name, values in said.items() if len(values) > 1), None):
            raise InputError(f"{table} has {twice} more than once, with different {kind}s: leave one of them")


def _rows(table):
    """The rows, each as {column: text}, with the library's name of the split; and the names of the other columns."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        first = io.StringIO(text, newline="").readline().rstrip("\r\n")
        delimiter = max(",;\t", key=first.count)
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as a CSV file in UTF-8: {error}") from error
    header = [_plain(name) for name in lines[0]] if lines else []
    places = {
        kind: next((header.index(name) for name in map(_plain, names) if name in header), None)
        for kind, names in _COLUMNS.items()
    }
    if places["path"] is None or places["label"] is None:
        raise InputError(
            f"{table} must begin with a line that names its columns, path and label, and perhaps split and group; it "
            f"begins with {shortened(first, 60)!r}"
        )
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise InputError(f"{table} must have {len(header)} columns in line {number:,}, got {len(cells)}")
        row = {kind: None if place is None else cells[place].strip() for kind, place in places.items()}
        if not row["path"] or not row["label"]:
            raise InputError(
                f"{table} must have a path and a label in line {number:,}, got {row['path']!r} and {row['label']!r}"
            )
        for kind in ("label", "group"):
            if text := row[kind]:
                row[kind] = nfc(text)
        if row["split"] is not None and not split_named(row["split"]):
            raise InputError(
                f"{table} must name train, validation or test as the split in line {number:,}, got {row['split']!r}"
            )
        row["split"] = split_named(row["split"] or "") or None
        rows.append(row)
    if not rows:
        raise InputError(f"{table} has no rows below the names of its columns")
    unused = [name.strip() for place, name in enumerate(lines[0]) if name.strip() and place not in places.values()]
    return rows, unused


def _plain(name):
    """The name of a column without what does not matter in it."""
    return re.sub(r"[\s_-]", "", name.casefold())


def _found(rows, images, folder):
    """Finds the image of each row of a table.

    Returns the images by their paths below the folder, the paths of rows without exactly one image, and the paths that
    were found only without their first folders.
    """
    known = defaultdict(set)
    for name in images:
        for text in (name, name.rpartition("/")[2]):
            known[text].add(name)
            known[text.rpartition(".")[0]].add(name)
    found, missing, elsewhere = [], [], []
    above = folder.resolve().as_posix()
    for row in rows:
        wanted = nfc(row["path"].replace("\\", "/")).removeprefix("./")
        exact = images.keys() & {wanted, row["path"]}
        ends = ["/".join(wanted.split("/")[start:]) for start in range(wanted.count("/") + 1)]  # without folders above
        choices = exact or next((known[end] for end in (*ends, row["path"]) if end in known), ())
        if len(choices) != 1:
            missing.append(row["path"])
            continue
        found.append(next(iter(choices)))
        left_out = wanted.removesuffix(next((end for end in ends if end in known), wanted)).strip("/")
        if left_out and not f"/{above}".endswith(f"/{left_out}"):
            elsewhere.append(wanted)
    return found, missing, elsewhere


def class_order(names: set[str]) -> tuple[str, ...]:
    """Sorts class names; numbers are sorted by value."""
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else None))


def _check_splits(table, files: Sequence[ImageFile], class_names):
    made = {file.split for file in files} - {None}
    if made and "train" not in made:
        raise InputError(f"{table} must put images into the split train, got {listed(sorted(map(str, made)))}")
    trained = {file.label for file in files if file.split in (None, "train")}
    if untrained := [name for label, name in enumerate(class_names) if label not in trained]:
        raise InputError(f"{table} must have images to train on of each class, and has none of {listed(untrained)}")
