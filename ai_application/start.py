"""Starts and ends the process of a command; has a function for each command.

Imports here must be fast: until the handlers are installed, process 1 of a container ignores all signals.
"""

import functools
import gc
import importlib
import os
import sys
from collections.abc import Callable

from .signals import Interrupted, Signals


def start(load: Callable[[], Callable[[], int]]) -> int:
    """Runs a command's `main`, which `load` imports, and returns its exit status.

    From here on, signals end the process with their exit status, and failing output does not end it.
    """
    from .streams import keep_descriptors, make_unfailing

    # numpy's products are small here: threads for them would wait for each other longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_descriptors()
    signals = Signals()
    make_unfailing()
    gc.disable()  # imports make little garbage, and looking for it takes a seventh of their time
    main = load()
    gc.freeze()
    gc.enable()
    try:
        with signals.raising():
            status = main()
    except Interrupted:
        status = 0
    if signals.received:  # also if other code replaced the exception
        status = 128 + signals.received
    if status > 128:  # JAX's threads may still run, and would crash in the shutdown of the interpreter
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
