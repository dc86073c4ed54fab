#!/usr/bin/env bash
# Run tests/cluster: first what needs the lab for itself, then the campaigns, three at a time on one lab. Without root, say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "$(id -u)" != 0 ]; then exec pytest tests/cluster; fi
failed=0
pytest tests/cluster -m whole_lab || failed=1
trap tests/cluster/lab/down.sh EXIT
SECOND_NETWORK=1 tests/cluster/lab/up.sh
CAMPAIGN_LAB_KEEP=1 pytest tests/cluster -m "not whole_lab" -n 3 --dist worksteal || failed=1
exit "$failed"
