"""Groups of images by their folders: those in one sub-folder of a class, such as the frames of a film."""

import itertools
from collections.abc import Mapping, Sequence

from ...files.text import listed


def shared_folders(
    places: Mapping[str, Sequence[tuple[str, ...]]],
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Finds the sub-folders that all images of a class share. They are no group; those below them are.

    Args:
        places: The places of the images of each class: the names of the sub-folders that lead to them from the class.

    Returns:
        The names of the shared sub-folders of each class, and a note if these may have been meant as groups: if they
        are not named alike in several classes, as "images" would be.
    """
    shared = {name: _common(min(its_places), max(its_places)) for name, its_places in places.items()}
    found = [folders for folders in shared.values() if folders]
    alike = len(found) > 1 and len(set(found)) == 1
    single = [] if alike else ["/".join((name, *folders)) for name, folders in sorted(shared.items()) if folders]
    if not single:
        return shared, ()
    note = (
        f"all images of a class are in one sub-folder: {listed(single, 5)}; they are taken as independent, so that "
        "intervals are too narrow if it is one film or one patient"
    )
    return shared, (note,)


def _common(one, other):
    """The names with which both begin."""
    return tuple(
        name for name, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    )
