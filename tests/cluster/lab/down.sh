#!/usr/bin/env bash
# Take the lab down, whole or half built: processes, control groups, namespaces, bridge, host names, users, and /etc/slurm as it was before.
# The logs stay in /srv/campaign-lab/log until the next start.
set -euo pipefail
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/lib.sh"
[ "$(id -u)" = 0 ] || fail "only root can take it down."

take_turn
rm -f $ROOT/up
end_member
for namespace in $(ip netns list | awk -v prefix=$NETNS 'index($1, prefix) == 1 {print $1}'); do ip netns delete $namespace; done
# The host's ends go with the namespaces, but in their own time.
for link in $(ip -o link | grep -oE '\bc(node|dead)[0-9]+\b'); do ip link delete $link 2> /dev/null || true; done
if ip link show $BRIDGE > /dev/null 2>&1; then ip link delete $BRIDGE; fi
# Written in place, not replaced: /etc/hosts may be a mount.
if grep -q "# $GROUP\$" /etc/hosts; then
  hosts=$(grep -v "# $GROUP\$" /etc/hosts || true)
  printf '%s\n' "$hosts" > /etc/hosts
fi
if [ -L /etc/slurm ]; then rm /etc/slurm; fi
if [ -e $SAVED ]; then mv -T $SAVED /etc/slurm; fi
if mountpoint -q $ROOT/small; then umount -l $ROOT/small; fi
for user in $USERS; do
  if id $user > /dev/null 2>&1; then userdel --remove $user 2> /dev/null; fi
done
rm -rf $ROOT/{closed,etc,dev,run,state,spool,munge,database,nodes,shared,small}
