#!/bin/sh
# Options, or no arguments, are passed to predict.py, which writes to the mapped /results. "serve" starts serve.py, which
# must listen on all addresses to be reachable through the host's port. Any other command is run unchanged.
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
