#!/usr/bin/env bash
# Every test, whatever failed before. What is timed runs one kind after the other: beside tests that start processes, at a load of 9
# to 25 on two processors, nodes and campaigns of the lab missed their times. The unit tests that start none wait for nothing: one
# worker runs them while the first tests of the lab wait for Slurm, which leaves two thirds of the processors idle.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0
pytest tests/unit tests/workflow -m "processes or slow or snakemake" -n 3 --dist worksteal || failed=1
pytest tests/browser || failed=1
pytest tests/engine || failed=1
log=$(mktemp)
pytest tests/unit tests/workflow -m "not (processes or slow or snakemake)" >"$log" 2>&1 &
pure=$!
trap 'kill "$pure" 2>/dev/null; rm -f "$log"' EXIT
tests/cluster/run.sh || failed=1
wait "$pure" || failed=1
cat "$log"
exit "$failed"
