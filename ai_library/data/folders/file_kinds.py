"""Which files and folders a listing of images passes over, by their names, and the reasons in messages."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from ...files.text import escaped

_FOLDERS_OF_SYSTEMS = {
    *("@eadir", "#recycle", "#snapshot"),  # Synology
    *("@__thumb", "@recycle"),  # QNAP
    *("$recycle.bin", "system volume information", "lost+found", "lost.dir", "__macosx", "thumbnails"),
}
_FILES_OF_SYSTEMS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_OTHER_IMAGES = {
    *(
        ".jxl",
        ".jp2",
        ".j2k",
        ".tga",
        ".ico",
        ".svg",
        ".psd",
        ".xcf",
        ".raw",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".orf",
        ".rw2",
        ".raf",
        ".dcm",
        ".exr",
        ".hdr",
        ".pbm",
        ".pnm",
    ),
}


def folder_passed_over(name: str) -> str:
    """Why a folder of this name is passed over, with everything in it; "" if it is not."""
    if name.startswith("."):
        return "in hidden folders"
    return f"in {name}, a folder of a NAS, a camera or a system" if name.casefold() in _FOLDERS_OF_SYSTEMS else ""


def file_passed_over(name: str, endings: Sequence[str]) -> str:
    """Why a file of this name is passed over, if images have one of the `endings`; "" if it is not."""
    if name.startswith("."):
        return "hidden"
    if name.casefold() in _FILES_OF_SYSTEMS:
        return "files of a system"
    if name.lower().endswith(tuple(endings)):
        return ""
    ending = PurePath(name).suffix.lower()
    return f"ending in {ending}" if ending else "without an ending"


def is_image_of_another_kind(reason: str) -> bool:
    """Whether a result of `file_passed_over` means an image in an unsupported format."""
    return reason.removeprefix("ending in ") in _OTHER_IMAGES


def reasons_told(reasons: Counter[str], most: int = 5) -> str:
    """The most frequent reasons for which files are passed over, with their counts, and the count of all others."""
    told = [f"{escaped(reason)} ({count:,})" for reason, count in reasons.most_common(most)]
    if len(reasons) > most:
        told.append(f"for other reasons ({sum(count for _, count in reasons.most_common()[most:]):,})")
    return ", ".join(told)
