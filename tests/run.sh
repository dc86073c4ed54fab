#!/usr/bin/env bash
# Every test, whatever failed before, in two lanes. The tests of the engine import vLLM for half of their time, and those of the lab
# wait for Slurm (35 of its campaigns leave 4 of 9 minutes of two processors idle). The unit and workflow tests run beside them on
# what is left over: as equals, at a load of 9 to 25, nodes and campaigns of the lab missed their times.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0
log=$(mktemp)
group=/sys/fs/cgroup/cpu/campaign-tests-$$
beside=

clean_up() {
  [ -z "$beside" ] || kill "$beside" 2>/dev/null
  rm -f "$log"
  rmdir "$group" 2>/dev/null
}
trap clean_up EXIT

# A group of processes that has, all together, an eighth of the weight of one process outside. `nice` weighs within a session alone,
# and each server begins one.
left_over() { mkdir "$group" && echo 128 >"$group/cpu.shares"; } 2>/dev/null

without_server=(pytest tests/unit tests/workflow -n 3 --dist worksteal)

if left_over; then
  (echo $BASHPID >"$group/cgroup.procs" && exec "${without_server[@]}") >"$log" 2>&1 &
  beside=$!
else
  "${without_server[@]}" || failed=1
fi
pytest tests/browser || failed=1
pytest tests/engine -n 2 --dist loadfile || failed=1
tests/cluster/run.sh alone || failed=1
tests/cluster/run.sh shared || failed=1
if [ -n "$beside" ]; then
  wait "$beside" || failed=1
  beside=
  cat "$log"
fi
exit "$failed"
