"""Serves trained models over HTTP: the Open Inference Protocol, image files at /predict/MODEL, and a page to draw on.

A model is named after its file, without the extension. /openapi.json describes all endpoints; /metrics is for
Prometheus.
SIGTERM or Ctrl-C ends the service after it has answered the accepted requests. Those that take longer than
--finish-seconds get status 503.
"""

import argparse
import dataclasses
import os
import re
import sys
from contextlib import closing
from pathlib import Path

from ai_library import InputError, load_model

from .. import MODELS
from ..command_line import command, short
from ..own_networks import add_network_argument, network_classes
from ..service.app import application
from ..service.limits import Limits
from ..service.observed import Lines
from ..service.server import listening, run


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped = short(MODELS / "shapes.msgpack")
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=f"model file; may be given several times ({shipped})",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (%(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on; 0 for any free one (%(default)s)")
    add_network_argument(parser)
    for limit in dataclasses.fields(Limits):
        flag, kind = f"--{limit.name.replace('_', '-')}", type(limit.default)
        parser.add_argument(
            flag, type=_positive(kind), default=limit.default, help=f"{limit.metadata['help']} (%(default)s)"
        )
    arguments = parser.parse_args()
    classifiers = {}
    for path in arguments.model or [shipped]:
        name = _name(path, classifiers)
        classifiers[name] = load_model(path, network_classes(arguments.network))
    limits = Limits(**{limit.name: getattr(arguments, limit.name) for limit in dataclasses.fields(Limits)})
    with listening(arguments.host, arguments.port) as listener, closing(Lines(sys.stdout.fileno())) as log:
        host, port, *_ = listener.getsockname()
        print(f"serving {', '.join(classifiers)} on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        run(application(classifiers, limits, log), listener, limits)
    sys.stderr.flush()
    os._exit(0)  # threads may still predict or decode for requests that were given up, and Python would wait for them


def _port(text):
    """A port as an argument."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text!r}")
    return int(text)


def _name(path, others):
    """The name of a model in URLs, from its file name."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", path.stem):
        raise InputError(
            f"{path} gives its model the name {path.stem!r}, which cannot stand in an address: rename the file to "
            "letters, digits, _, - and full stops"
        )
    if path.stem in others:
        raise InputError(f"{path} is the second model that is called {path.stem}: rename one of them")
    return path.stem


def _positive(kind):
    def number(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError(text)
        return value

    number.__name__ = "positive number"
    return number
