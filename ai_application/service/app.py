"""The service as an ASGI application: the handler of each endpoint."""

import asyncio
import contextlib
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import prometheus_client
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ai_library import Classifier, InputError, __version__
from ai_library.data.images.reading import read_file
from ai_library.export.page_file import page_of
from ai_library.runtime.cpu import cores

from . import openapi, protocol
from .batching import Batcher
from .limits import Bodies, Limits, RefusedError
from .observed import Metrics, Observed

_Result = TypeVar("_Result")
_EXTENSIONS = ["binary_tensor_data", "classification"]
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_FILE_KINDS = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Content types of clients that do not know the kind of a body; curl sends the last one."""
_QUICK_BYTES, _QUICK_PIXELS = 1 << 14, 1 << 14


def application(classifiers: Mapping[str, Classifier], limits: Limits, log: Callable[[str], None] = print) -> Starlette:
    """Returns an application that serves models under their names.

    It is ready once each model has predicted an image.

    Args:
        classifiers: The models by name.
        limits: The limits of the service.
        log: Called with one line per request.
    """
    metrics = Metrics()
    service = _Service(classifiers, limits, metrics)
    app = Starlette(
        routes=service.routes(),
        lifespan=service.lifespan,
        exception_handlers={RefusedError: _refused, HTTPException: _http_error, Exception: _failed},
    )
    app.router.redirect_slashes = False  # a redirect would contain the client's Host header
    app.add_middleware(Observed, metrics=metrics, log=log)
    return app


class _Service:
    def __init__(self, classifiers, limits, metrics):
        self._limits, self._metrics = limits, metrics
        self._models = {
            name: Batcher(classifier, limits.max_waiting, metrics.batch_images.labels(name).observe)
            for name, classifier in classifiers.items()
        }
        pages = {name: _page_of(classifier) for name, classifier in classifiers.items()}
        self._pages = {name: page for name, page in pages.items() if page is not None}
        self._bodies = Bodies(limits)
        self._threads = ThreadPoolExecutor(cores())  # decode bodies, while other requests are predicted

    def routes(self):
        """All endpoints. A model has one version."""
        model = "/v2/models/{model}"
        return [
            Route("/", self.index),
            Route("/page/{model}", self.page),
            Route("/predict/{model}", self.predict, methods=["POST"]),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.description),
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            *(
                Route(f"{start}{end}", answer, methods=methods)
                for start in (model, f"{model}/versions/{{version}}")
                for end, answer, methods in (
                    ("", self.model, ["GET"]),
                    ("/ready", self.model_ready, ["GET"]),
                    ("/infer", self.infer, ["POST"]),
                )
            ),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self, app):
        """Warms the models up in the background, so that /ready can answer meanwhile."""
        app.state.warming = asyncio.gather(*(model.warm_up() for model in self._models.values()))
        yield
        app.state.warming.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def index(self, _) -> Response:
        if len(self._models) == len(self._pages) == 1:
            return _page(*self._pages.values())
        links = "".join(
            f'<li><a href="page/{name}">{name}</a></li>' if name in self._pages else f"<li>{name}: /predict/{name}</li>"
            for name in self._models
        )
        title = "Models"
        return _page(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<main><h1>{title}</h1><ul>{links}</ul></main></html>".encode()
        )

    async def page(self, request: Request) -> Response:
        page = self._pages.get(request.path_params["model"])
        if page is None:
            raise RefusedError(404, f"there is no page of such a model; there are: {', '.join(self._pages) or 'none'}")
        return _page(page)

    async def predict(self, request: Request) -> Response:
        """Predicts the image file in the body."""
        model = self._model(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _FILE_KINDS and not kind.startswith("image/"):
            raise RefusedError(415, f"the body must be the image file itself, got {kind[:60]!r}: send it as image/*")
        classifier = model.classifier
        with self._bodies.holding() as held:
            body = await self._bodies.read(request, held)
            how = classifier.image_shape, classifier.content_size
            read = read_file(body, *how) if _is_quick(body, *how) else await self._in_thread(read_file, body, *how)
        if read.image is None:
            raise RefusedError(400, f"the image {read.error}")
        (probabilities,) = await self._predicted(model, read.image[None])
        best, threshold = int(probabilities.argmax()), classifier.abstain_below
        return JSONResponse(
            {
                "model": request.path_params["model"],
                "class": classifier.class_names[best],
                "confidence": float(probabilities[best]),
                "probabilities": dict(zip(classifier.class_names, map(float, probabilities), strict=True)),
                "abstained": threshold is not None and bool(probabilities[best] < threshold),
                "threshold": threshold,
                "remarks": list(read.remarks),
            }
        )

    async def infer(self, request: Request) -> Response:
        """Predicts tensors by the Open Inference Protocol."""
        model, name = self._model(request), request.path_params["model"]
        with self._bodies.holding() as held:
            body = await self._bodies.read(request, held)
            length = request.headers.get(protocol.HEADER_LENGTH)
            asked = await self._in_thread(protocol.parse, body, length, model.classifier)
            probabilities = await self._predicted(model, asked.images)
        content, headers = protocol.respond(name, asked, probabilities, model.classifier)
        return Response(content, headers=headers)

    async def server(self, _) -> Response:
        return JSONResponse({"name": "ai_application", "version": __version__, "extensions": _EXTENSIONS})

    async def live(self, _) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _) -> Response:
        ready = all(model.ready for model in self._models.values())
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        name = request.path_params["model"]
        return JSONResponse(protocol.metadata(name, self._model(request).classifier))

    async def model_ready(self, request: Request) -> Response:
        name, ready = request.path_params["model"], self._model(request).ready
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    async def metrics(self, _) -> Response:
        content = prometheus_client.generate_latest(self._metrics.registry)
        return Response(content, headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST})

    async def description(self, _) -> Response:
        return JSONResponse(openapi.description(list(self._models)))

    def _model(self, request):
        """The model in the request's path. Raises `RefusedError` if none has this name and version."""
        name, version = request.path_params["model"], request.path_params.get("version", protocol.VERSION)
        if name not in self._models or version != protocol.VERSION:
            there = ", ".join(self._models)
            raise RefusedError(404, f"there is no such model; there are {there}, each of version {protocol.VERSION}")
        return self._models[name]

    async def _predicted(self, model, images):
        try:
            return await model.predict(images)
        except InputError as error:  # such as an output that is nan: what was sent has been checked before
            raise RefusedError(500, str(error)) from error

    def _in_thread(self, function: "Callable[..., _Result]", *arguments: Any) -> "asyncio.Future[_Result]":
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _is_quick(body, image_shape, content_size):
    """Whether a body is a PNG file so small that reading it takes less time than handing it to a thread."""
    if content_size or len(body) > _QUICK_BYTES or not body.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"):
        return False
    pixels = int.from_bytes(body[16:20]) * int.from_bytes(body[20:24])
    return max(pixels, math.prod(image_shape)) <= _QUICK_PIXELS and body.count(b"IHDR") == 1  # the last one counts


def _page_of(classifier):
    """The page of a model; None if its network cannot be exported as a page."""
    try:
        return page_of(classifier)
    except InputError:
        return None


def _page(content):
    """A self-contained page; the policy forbids it to load anything else."""
    return HTMLResponse(content, headers={"content-security-policy": _POLICY})


def _error(status, told, headers=None):
    return Response(
        json.dumps({"error": told}), status, headers={"content-type": "application/json", **(headers or {})}
    )


async def _refused(_, error):
    return _error(error.status, error.told, error.headers)


async def _http_error(_, error):
    return _error(error.status_code, error.detail.lower(), error.headers)


async def _failed(*_):
    """The answer to a request that made this program fail; the log has the error."""
    return _error(500, "the service failed at this request; its log says why")
