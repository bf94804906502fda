"""Several processes compare their code, settings and data before they begin; all report the differences."""

import hashlib
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .distributed import all_gather, process_count

_PACKAGE = Path(__file__).parents[1]
_MOST = 5
"""Most differences in a message."""
_ABSENT = object()


def all_told(tell: Callable[[], Any]) -> list[Any]:
    """Calls a function in every process, and returns the results of all as JSON values, in order.

    An `InputError` that it raises in one process is raised in all.
    """
    if process_count() == 1:
        return [tell()]
    raised = None
    try:
        own = {"value": tell()}
    except InputError as error:
        own, raised = {"error": str(error)}, error
    told = [json.loads(each) for each in all_gather(json.dumps(own))]
    for process, each in enumerate(told):
        if "error" in each:
            raise raised or InputError(f"process {process} of {process_count()} says: {each['error']}")
    return [each["value"] for each in told]


def check_alike(tell: Callable[[], dict[str, Any]]) -> None:
    """Raises an `InputError` that names the differences, in every process, unless a function returns the same in all.

    A single process does not call the function.
    """
    if process_count() == 1:
        return
    first, *others = all_told(tell)
    for process, other in enumerate(others, 1):
        if different := differences(first, other, "{name} is {first} in the first and {second} in the other"):
            raise InputError(
                f"all processes need the same code, model, data and settings, but process {process} of "
                f"{process_count()} differs from the first: {different}"
            )


def differences(first: Any, second: Any, text: str) -> str:
    """Describes the first few differences of two JSON values; "" if there are none.

    Each is `text`, formatted with the dotted `name`, and the `first` and the `second` value.
    """
    one, other = dict(_leaves(first)), dict(_leaves(second))
    different = [name for name in {**one, **other} if one.get(name, _ABSENT) != other.get(name, _ABSENT)]
    more = [f"and {len(different) - _MOST} more"] if len(different) > _MOST else []
    shown = [(ascii(name)[1:-1][:80], _shown(one, name), _shown(other, name)) for name in different[:_MOST]]
    return "; ".join([*(text.format(name=name, first=a, second=b) for name, a, b in shown), *more])


def code_version(*own: type) -> dict[str, str]:
    """A digest of the code of this library, of the packages that compute, and of the modules of some classes."""
    import importlib.metadata  # a single process does not need it

    # A virtual environment or a build may lie beside the folders of the package.
    folders = [path.parent for path in _PACKAGE.glob("*/__init__.py") if path.parent.name != "tests"]
    modules = [*_PACKAGE.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "Pillow")
    return {
        "ai_library": _digest(sorted(modules)),
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        **{kind.__name__: _digest(_files(kind)) for kind in own},
    }


def _files(kind):
    """The file of a class; none if it was defined interactively."""
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return [Path(path)] if path else []


def _digest(paths):
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _leaves(value):
    """Yields the dotted name and the value of each leaf: anything but a non-empty dictionary."""
    waiting = [("", value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{name}.{key}" if name else key, child) for key, child in reversed(value.items())]
        else:
            yield name, value


def _shown(leaves, name):
    if name not in leaves:
        return "absent"
    text = json.dumps(leaves[name])
    return text if len(text) <= 80 else f"{text[:77]}..."
