#!/usr/bin/env bash
# Make the environment PREFIX from a conda file: make_environment.sh .venv environment.yml
# With uv the pip part is installed into a plain virtual environment; with mamba the whole file is.
set -euo pipefail
prefix=$1 file=$2
if command -v uv >/dev/null; then
  uv venv --allow-existing --python "${PYTHON:-3.12}" "$prefix"
  # The indented list below `- pip:`, without its comments.
  sed -n '/^  - pip:$/,$p' "$file" | sed -n 's/^      - \([^#]*\).*$/\1/p' | sed 's/[[:space:]]*$//' > "$prefix/pip.txt"
  uv pip install --python "$prefix/bin/python" -r "$prefix/pip.txt"
else
  mamba env create --yes --prefix "$prefix" --file "$file"
fi
