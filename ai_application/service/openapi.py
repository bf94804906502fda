"""The machine-readable description of the service, in OpenAPI."""

from typing import Any

from ai_library import __version__

from .protocol import HEADER_LENGTH, IMAGES, LABELS, PROBABILITIES, VERSION

_TEXT = {"type": "string"}
_YES_NO = {"type": "boolean"}
_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_ERROR = {"type": "object", "properties": {"error": _TEXT}}
_BYTES = {"type": "string", "format": "binary"}


def description(models: list[str]) -> dict[str, Any]:
    """Returns the OpenAPI 3.1 document of a service with these models."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"enum": models}}
    version = {"name": "version", "in": "path", "required": True, "schema": {"const": VERSION}}
    paths: dict[str, Any] = {
        "/": {"get": _operation("A page to draw on", _html())},
        "/page/{model}": {"parameters": [model], "get": _operation("The page of a model", _html(), 404)},
        "/predict/{model}": {"parameters": [model], "post": _predict()},
        "/metrics": {"get": _operation("Figures for Prometheus", {"text/plain": {"schema": _TEXT}})},
        "/v2": {"get": _operation("The server", _json(_object(name=_TEXT, version=_TEXT, extensions=_array(_TEXT))))},
        "/v2/health/live": {"get": _operation("Whether the server runs", _json(_object(live=_YES_NO)))},
        "/v2/health/ready": {"get": _operation("Whether all models answer", _json(_object(ready=_YES_NO)), 503)},
    }
    for start, parameters in (
        ("/v2/models/{model}", [model]),
        ("/v2/models/{model}/versions/{version}", [model, version]),
    ):
        ready = _json(_object(name=_TEXT, ready=_YES_NO))
        about = _operation("What a model takes and gives", _json(_metadata()), 404)
        paths |= {
            start: {"parameters": parameters, "get": about},
            f"{start}/ready": {"parameters": parameters, "get": _operation("Whether it answers", ready, 404, 503)},
            f"{start}/infer": {"parameters": parameters, "post": _infer()},
        }
    info = {"title": "Classification of small images", "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _operation(summary: str, content: dict[str, Any], *errors: int) -> dict[str, Any]:
    """An operation with its summary, its response and the statuses of its errors; 500 is possible everywhere."""
    told = {str(status): {"description": "An error", "content": _json(_ERROR)} for status in (500, *errors)}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}, **told}}


def _predict():
    answer = _object(
        **{"model": _TEXT, "class": _TEXT, "confidence": _PROBABILITY},
        probabilities={"type": "object", "additionalProperties": _PROBABILITY},
        abstained={**_YES_NO, "description": "Whether the confidence is below the threshold"},
        threshold={"type": ["number", "null"], "description": "As the model's evaluation gives it, if it has one"},
        remarks={**_array(_TEXT), "description": "What had to be done to read the image"},
    )
    kinds = ("application/octet-stream", "image/png", "image/jpeg")
    return {
        **_operation("The class of an image file", _json(answer), 400, 404, 408, 413, 415, 429, 503),
        "requestBody": {"required": True, "content": {kind: {"schema": _BYTES} for kind in kinds}},
    }


def _infer():
    whole = {"type": "integer", "minimum": 0}
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"const": IMAGES},
            "shape": _array(whole),
            "datatype": {"const": "UINT8"},
            "parameters": {"type": "object", "properties": {"binary_data_size": whole}},
            "data": {"type": "array"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"enum": [PROBABILITIES, LABELS]},
            "parameters": {"type": "object", "properties": {"binary_data": _YES_NO, "classification": whole}},
        },
    }
    request = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _TEXT,
            "inputs": {**_array(tensor), "minItems": 1, "maxItems": 1},
            "outputs": _array(output),
            "parameters": {"type": "object", "properties": {"binary_data_output": _YES_NO}},
        },
    }
    answer = {
        **_object(model_name=_TEXT, model_version=_TEXT, outputs=_array({"type": "object"})),
        "properties": {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "outputs": _array({"type": "object"})},
    }
    length = {"name": HEADER_LENGTH, "in": "header", "schema": whole, "description": "Bytes of JSON before binary data"}
    contents = {**_json(answer), "application/octet-stream": {"schema": _BYTES}}
    return {
        **_operation("Probabilities of images", contents, 400, 404, 408, 413, 415, 429, 503),
        "parameters": [length],
        "requestBody": {
            "required": True,
            "content": {**_json(request), "application/octet-stream": {"schema": _BYTES}},
        },
    }


def _metadata():
    tensor = _object(name=_TEXT, datatype=_TEXT, shape=_array({"type": "integer"}))
    return _object(
        name=_TEXT,
        versions=_array(_TEXT),
        platform=_TEXT,
        inputs=_array(tensor),
        outputs=_array(tensor),
        parameters={"type": "object"},
    )


def _object(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(items):
    return {"type": "array", "items": items}


def _json(schema):
    return {"application/json": {"schema": schema}}


def _html():
    return {"text/html": {"schema": _TEXT}}
