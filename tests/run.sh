#!/usr/bin/env bash
# Every test, whatever failed before. One kind after the other: beside the unit tests, at a load of 9 to 25 on two processors, nodes
# and campaigns of the lab missed their times.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0
pytest tests/unit tests/workflow -n 3 --dist worksteal || failed=1
pytest tests/browser || failed=1
pytest tests/engine || failed=1
tests/cluster/run.sh || failed=1
exit "$failed"
