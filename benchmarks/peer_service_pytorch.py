"""The same model behind a plain FastAPI and PyTorch handler, as a tutorial has it: an image file in, probabilities out.

Arguments: the weights (see same_weights.py), the temperature, the port, the class names as JSON.
"""

import io
import json
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from peer_predict_pytorch import built
from PIL import Image
from same_weights import SameWeights


def main():
    weights, temperature, port = SameWeights(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    model, class_names = built(weights), json.loads(sys.argv[4])
    app = FastAPI()

    @app.post("/predict/shapes")
    async def predict(request: Request):
        image = Image.open(io.BytesIO(await request.body())).convert("L")
        pixels = torch.from_numpy(np.asarray(image, np.float32) / 127.5 - 1.0)[None, None]
        with torch.inference_mode():
            probabilities = torch.softmax(model(pixels)[0] / temperature, 0)
        best = int(probabilities.argmax())
        return {
            "class": class_names[best],
            "confidence": float(probabilities[best]),
            "probabilities": dict(zip(class_names, probabilities.tolist(), strict=True)),
        }

    uvicorn.run(app, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
