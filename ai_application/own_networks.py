"""Users' own networks, given to the commands as FILE.py:Class."""

import importlib.util
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ai_library import InputError

if TYPE_CHECKING:
    import flax.linen as nn

_helpers: dict[str, Path] = {}
"""The network's file that a module was imported for and lies beside, by the module's name."""


def network_class(named: str) -> "type[nn.Module]":
    """Imports the class that FILE.py:Class names. This runs the file.

    Raises:
        InputError: There is no such file or class, the file cannot be run, or it has other files beside it than an
            earlier network, with a name that this one imported from beside its own.
    """
    file, _, name = named.rpartition(":")
    path = Path(file).resolve()
    if not name or path.suffix != ".py":
        from ai_library import NETWORKS

        raise InputError(f"--network must be {', '.join(NETWORKS)} or FILE.py:Class, got {named!r}")
    if not path.is_file():
        raise InputError(f"--network names the file {file}, which is not there")
    _check_helpers(path)
    # Registered, because dataclasses and pickle look up the module of a class by name.
    module_name = f"network_of_{path.stem}_{zlib.crc32(bytes(path)):x}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # every .py file has a spec with a loader
    assert spec.loader is not None
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    known = {*sys.modules}
    sys.path.insert(0, str(path.parent))  # so that it can import files beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"--network names {file}, which cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
        _helpers.update({each: path for each in sys.modules.keys() - known if _beside(path, each)})
    import flax.linen as nn

    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        there = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        raise InputError(
            f"--network names {name} in {file}, which must be a flax.linen.Module; it has {', '.join(there) or 'none'}"
        )
    return found


def _check_helpers(path):
    """Raises `InputError` if a network would get an earlier one's module in place of that beside its own file."""
    for name, earlier in _helpers.items():
        own, hiding = _beside(path, name), _beside(earlier, name)
        if not own or not hiding or own == hiding:
            continue
        if not (own.is_file() and hiding.is_file() and own.read_bytes() == hiding.read_bytes()):
            raise InputError(
                "different modules beside networks must have different names, as Python imports only one of a name, "
                f"but {own.name} beside {path} is not {hiding.name} beside {earlier}: rename one of them"
            )


def _beside(path, name):
    """The file or the folder of the module of a name beside a network's file; None if there is none."""
    folder, file = path.parent / name, path.parent / f"{name}.py"
    return folder if any(folder.rglob("*.py")) else file if file.is_file() else None


def add_network_argument(parser):
    """Adds the argument --network, whose values `network_classes` takes."""
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="FILE.py:Class",
        help="class of a network of your own that a model file names; the file is run. May be given several times",
    )


def network_classes(named: Iterable[str]) -> "list[type[nn.Module]]":
    """Returns the classes that several FILE.py:Class name, each once, for `load_model`.

    Raises:
        InputError: As `network_class`.
    """
    different = {}
    for each in named:
        file, _, name = each.rpartition(":")
        different.setdefault((Path(file).resolve(), name), each)
    return [*map(network_class, different.values())]
