"""A service for tests, without a network, and what is sent to it."""

import contextlib
import time

from starlette.testclient import TestClient

from ai_application.service.app import application
from ai_application.service.limits import Limits


@contextlib.contextmanager
def serving(limits=None, log=None, **classifiers):
    """A client of the service, which is ready."""
    app = application(classifiers, limits or Limits(), (log if log is not None else []).append)
    with TestClient(app, raise_server_exceptions=False) as client:
        while client.get("/v2/health/ready").status_code == 503:
            time.sleep(0.01)
        yield client


def tensor(images, **changes):
    """A request of the protocol, as JSON."""
    found = {"name": "images", "shape": [*images.shape], "datatype": "UINT8", "data": images.ravel().tolist()}
    return {"inputs": [{**found, **changes}]}
