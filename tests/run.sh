#!/usr/bin/env bash
# Every test. The lab's campaigns mostly wait for Slurm, so they run beside the tests that need processors, which give way to them.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=$(mktemp)
tests/cluster/run.sh >"$log" 2>&1 &
lab=$!
# When this ends early: a shell starts what it puts into the background without Ctrl-C, and the lab has nodes to take down.
end() {
  pkill -INT -P "$lab"
  wait "$lab"
  cat "$log"
  rm -f "$log"
}
trap end EXIT
trap 'exit 130' INT TERM
failed=0
nice pytest tests/unit tests/workflow -n 3 --dist worksteal || failed=1
nice pytest tests/browser || failed=1
wait "$lab" || failed=1
cat "$log" && : >"$log"
pytest tests/engine || failed=1 # real vLLM takes all processors
exit "$failed"
