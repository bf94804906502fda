# The application with its trained models and evaluation images: predicts them, or what its arguments name, to /results.
#   docker build -t ai-application .
# Or serves them: docker run -p 8000:8000 ai-application serve
# For NVIDIA's GPUs (run it with --gpus all): docker build --build-arg REQUIREMENTS=requirements-cuda.txt ...
FROM python:3.13-slim
ARG REQUIREMENTS=requirements.txt

# Dependencies come first: a change of the code does not install them again. They have an environment of their own, which
# takes nothing from the base image's packages: pip cannot replace those that are a distribution's.
WORKDIR /app
COPY $REQUIREMENTS requirements.txt
RUN python -m venv --without-pip /venv && pip --python /venv install --no-cache-dir --require-hashes -r requirements.txt
ENV PATH=/venv/bin:$PATH

COPY docker-entrypoint.sh ./
COPY ai_library ai_library
COPY scripts scripts
COPY ai_application ai_application
# A missing or damaged model, or a Git LFS pointer in its place, ends the build here with a line that says so.
RUN python scripts/describe_model.py ai_application/models/shapes.msgpack ai_application/models/mnist.msgpack \
 && python -m compileall -q ai_library ai_application scripts \
 && chmod -R a+rX . \
 && mkdir runs && chmod a+rwx runs

# /dev/shm can be written by any user, under --read-only too; nothing but matplotlib's font list goes there.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/dev/shm MPLCONFIGDIR=/dev/shm/matplotlib
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["/app/docker-entrypoint.sh"]
