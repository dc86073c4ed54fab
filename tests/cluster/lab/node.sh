#!/usr/bin/env bash
# Boot a node of the lab: node.sh NAME. Returns at once; slurmd is the first process of the node's own process table, so that
# ending it ends everything on the node. The network outlives the node.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
node=$1

# Runs inside the node's namespaces.
become_node() {
  local controller tmp=$ROOT/nodes/$node/tmp checkout path
  hostname $node
  mount -t proc -o hidepid=1 proc /proc  # as on sites where users do not see each other's processes
  umount -l $CGROUPS 2> /dev/null || true
  mount -t tmpfs tmpfs $CGROUPS
  for controller in $CONTROLLERS; do
    mkdir $CGROUPS/$controller
    mount -t cgroup -o $controller cgroup $CGROUPS/$controller
  done
  mount -t tmpfs -o size=4g tmpfs /dev/shm
  # What lies under /tmp here is on the shared file system all the same.
  checkout=$(cd "$here/../../.." && pwd)
  for path in "$checkout" ${CAMPAIGN_TEST_ENGINE:-} ${CAMPAIGN_TEST_MODEL:-}; do
    [[ $path = /tmp/* ]] || continue
    mkdir -p "$tmp/${path#/tmp/}"
    mount --bind "$path" "$tmp/${path#/tmp/}"
  done
  open_to_users "$checkout"
  mount --rbind $tmp /tmp
  exec slurmd -D -N $node
}

if [ "${2:-}" = inside ]; then become_node; fi

remove_groups_once $node || fail "$node is still running; end it first."
make_groups $node
rm -rf "$ROOT/nodes/$node"
mkdir -p $ROOT/nodes/$node/tmp
chmod 1777 $ROOT/nodes/$node/tmp
(
  join_groups $node
  exec setsid ip netns exec $NETNS$node unshare --uts --mount --pid --ipc --cgroup --fork --kill-child "$here/node.sh" $node inside
) >> $ROOT/log/boot-$node.log 2>&1 < /dev/null 9>&- &
