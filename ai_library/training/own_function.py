"""`OwnFunction`: a user's own loss or optimizer, as one run sees it."""

from collections.abc import Callable
from typing import Any

from .losses import CrossEntropy
from .optimizers import NamedOptimizer


class OwnFunction:
    """Calls a user's own function. Each object is hashed by its identity, so that each run traces the function anew.

    What the function reads may have changed since an earlier run: an attribute of its object, or a global variable.
    So a run must not use the program that was compiled for an earlier one. The function itself need not be hashable.

    The library's caches do not keep this object. JAX's own do, and with it the function, until thousands of newer
    entries have replaced it.

    Args:
        function: A loss or an optimizer.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        """The result of the function."""
        return self._function(*args)

    def __repr__(self) -> str:
        return f"OwnFunction({self._function!r})"


def of_run(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss or an optimizer for a new run: as it is if it is the library's own, which never changes."""
    return function if type(function) in (NamedOptimizer, CrossEntropy) else OwnFunction(function)
