#!/bin/sh
# Arguments, or none, go to predict.py, whose results go to the mapped /results; "serve" and its arguments to serve.py,
# where the host's port leads to it; a command is run as it is.
set -eu

case "${1:--}" in
  -*) ;;
  serve) shift && exec python scripts/serve.py --host 0.0.0.0 "$@" ;;
  *) exec "$@" ;;
esac
case " $* " in
  *" -h "* | *" --help "* | *" --output"*) exec python scripts/predict.py "$@" ;;
esac
if [ ! -d /results ]; then
  echo "error: no folder is mapped to /results: mkdir -p results && docker run -v \"\$PWD/results:/results\" ..." >&2
  exit 1
fi
if [ ! -w /results ]; then
  echo "error: /results cannot be written by user $(id -u):" \
    "add --user \"\$(id -u):\$(id -g)\" to docker run, or map a folder that this user may write" >&2
  exit 1
fi
exec python scripts/predict.py --output /results "$@"
