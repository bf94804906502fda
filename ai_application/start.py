"""How a command's process begins and ends; the commands as functions that start them.

What is imported here is cheap: until the signals are heard, process 1 of a container hears none.
"""

import functools
import importlib
import os
import sys
from collections.abc import Callable

from .signals import Interrupted, Signals


def start(load: Callable[[], Callable[[], int]]) -> int:
    """Runs a command's `main`, which `load` imports, and returns its exit status.

    Signals end the process from here on with their status, and nothing that is printed ends it.
    """
    from .streams import keep_descriptors, make_unfailing

    # numpy's products are small here: threads for them would wait for each other longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_descriptors()
    signals = Signals()
    make_unfailing()
    main = load()
    try:
        with signals.raising():
            status = main()
    except Interrupted:
        status = 0
    if signals.received:  # also where its exception became another one on its way
        status = 128 + signals.received
    if status > 128:  # threads of JAX may still compute, which do not survive that Python takes itself apart
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _start_command(name: str) -> int:
    return start(lambda: importlib.import_module(f"ai_application.commands.{name}").main)


check_data = functools.partial(_start_command, "check_data")
compare_models = functools.partial(_start_command, "compare_models")
describe_model = functools.partial(_start_command, "describe_model")
draw_shapes = functools.partial(_start_command, "draw_shapes")
export_mnist = functools.partial(_start_command, "export_mnist")
export_model = functools.partial(_start_command, "export_model")
predict = functools.partial(_start_command, "predict")
serve = functools.partial(_start_command, "serve")
study = functools.partial(_start_command, "study")
train_folder = functools.partial(_start_command, "train_folder")
train_mnist = functools.partial(_start_command, "train_mnist")
train_shapes = functools.partial(_start_command, "train_shapes")
