# The application with its trained models. It predicts the evaluation images, or the data of its arguments, to /results.
#   docker build -t ai-application .
# To serve the models: docker run -p 8000:8000 ai-application serve
# For NVIDIA GPUs (run with --gpus all): docker build --build-arg REQUIREMENTS=requirements-cuda.txt ...
FROM python:3.13-slim
ARG REQUIREMENTS=requirements.txt

# Dependencies come first, so that a change of the code does not reinstall them. They have their own environment, without
# the base image's packages, because pip cannot replace packages of a Linux distribution.
WORKDIR /app
COPY $REQUIREMENTS requirements.txt
RUN python -m venv --without-pip /venv && pip --python /venv install --no-cache-dir --require-hashes -r requirements.txt
ENV PATH=/venv/bin:$PATH

COPY docker-entrypoint.sh ./
COPY ai_library ai_library
COPY scripts scripts
COPY ai_application ai_application
# If a model is missing, damaged or a Git LFS pointer, the build ends here with a clear line.
RUN python scripts/describe_model.py ai_application/models/shapes.msgpack ai_application/models/mnist.msgpack \
 && python -m compileall -q ai_library ai_application scripts \
 && chmod -R a+rX . \
 && mkdir runs && chmod a+rwx runs

# Any user can write to /dev/shm, also with --read-only. Only matplotlib's font list is written there.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/dev/shm MPLCONFIGDIR=/dev/shm/matplotlib
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["/app/docker-entrypoint.sh"]
