#!/usr/bin/env bash
# Run tests/cluster: `alone`, what needs the lab for itself; `shared`, the campaigns, four at a time on one lab. Without root, say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1-} in
  alone) exec pytest tests/cluster -m whole_lab ;;
  shared) ;;
  *) echo "usage: tests/cluster/run.sh alone|shared" >&2; exit 2 ;;
esac
if [ "$(id -u)" != 0 ]; then exit; fi
trap tests/cluster/lab/down.sh EXIT
SECOND_NETWORK=1 tests/cluster/lab/up.sh
CAMPAIGN_LAB_KEEP=1 pytest tests/cluster -m "not whole_lab" -n 4 --dist worksteal
