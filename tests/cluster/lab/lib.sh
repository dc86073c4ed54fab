# Settings and functions of the lab; sourced by the scripts beside it.
#
# Every process of the lab lives in a control group campaign-lab/<member>, where member is a node's name or `controller`. Slurm does
# not use the `pids` hierarchy, so a member's list of processes there is complete whatever Slurm, a test or `kill -9` did.

ROOT=/srv/campaign-lab          # not under /tmp: every node has its own /tmp. $ROOT/shared is the nodes' shared file system
GROUP=campaign-lab
CGROUPS=/sys/fs/cgroup
CONTROLLERS="freezer cpu cpuacct cpuset memory devices pids"
NETWORK=10.77.0
SECOND=10.99.0                  # with SECOND_NETWORK=1: packets sent there reach nobody
BRIDGE=brcampaign
NETNS=campaign-
GPU_TYPE=a100-40gb
GPU_NODES="c3gpu-a9-u29 c3gpu-a9-u30 c3gpu-a9-u31"
CPU_NODES="c3cpu-a2-u1"
DATABASE_PORT=33061
SAVED=/etc/slurm.before-campaign-lab
OWNER=blanca-curc                # of the GPU nodes where the lab is Blanca: an account and a QoS
USERS="campaign-a campaign-b"    # ordinary users, with an account in Slurm

fail() { echo "lab: $*" >&2; exit 1; }

# One start or end of the lab at a time. The lock is a file that every command of a script inherits, the daemons alone do not:
# after a script is killed, whoever comes next waits for what it had running, such as the 3 s of mariadb-install-db.
take_turn() {
  mkdir -p $ROOT
  [ /proc/$$/fd/9 -ef $ROOT/turn ] || exec 9> $ROOT/turn
  flock --wait 120 9 || fail "another start or end of the lab still runs after 120 s; see: fuser -v $ROOT/turn"
}

# Wait until a command succeeds, asking four times a second: wait_until SECONDS WHAT COMMAND...
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "not in time: $what. See $ROOT/log."
    sleep 0.25
  done
}

# The last number of a node's address, by its place in the list.
node_number() {
  local number=10 node
  for node in $GPU_NODES $CPU_NODES; do
    number=$((number + 1))
    [ "$node" = "$1" ] && echo $number && return
  done
  fail "no such node: $1"
}

make_groups() {
  local controller folder kind
  for controller in $CONTROLLERS; do mkdir -p $CGROUPS/$controller/$GROUP/$1; done
  # A new cpuset is empty and takes no process until it has processors and memory.
  for folder in $CGROUPS/cpuset/$GROUP $CGROUPS/cpuset/$GROUP/$1; do
    for kind in cpus mems; do cat $CGROUPS/cpuset/cpuset.$kind > $folder/cpuset.$kind; done
  done
}

# Make this very process, and so what it becomes, a member.
join_groups() {
  local controller
  for controller in $CONTROLLERS; do echo $BASHPID > $CGROUPS/$controller/$GROUP/$1/cgroup.procs; done
}

# Processes of a member, or of all without an argument.
member_processes() {
  [ -d $CGROUPS/pids/$GROUP/${1:-} ] || return 0
  find $CGROUPS/pids/$GROUP/${1:-} -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

no_process() { [ -z "$(member_processes "${1:-}")" ]; }

kill_round() {
  local pids state
  # A frozen process dies only once it is thawed; Slurm freezes what it is about to kill.
  find $CGROUPS/freezer/$GROUP/${1:-} -name freezer.state 2>/dev/null | while read -r state; do echo THAWED > "$state" || true; done
  pids=$(member_processes "${1:-}")
  [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
  no_process "${1:-}"
}

remove_groups_once() {
  local controller left=0
  for controller in $CONTROLLERS; do
    [ -d $CGROUPS/$controller/$GROUP/${1:-} ] || continue
    find $CGROUPS/$controller/$GROUP/${1:-} -depth -type d -exec rmdir {} + 2>/dev/null || left=1
  done
  return $left
}

# End a member (or all) at once, as a power cut does, and remove its control groups.
end_member() {
  wait_until 20 "the end of the processes of ${1:-the lab}" kill_round "${1:-}"
  wait_until 20 "the removal of the control groups of ${1:-the lab}" remove_groups_once "${1:-}"
}

# Start a daemon of the controller: start NAME COMMAND...
start() {
  local name=$1
  shift
  (join_groups controller; exec setsid "$@") >> $ROOT/log/boot-$name.log 2>&1 < /dev/null 9>&- &
}

# In a mount namespace of its own only: let everybody read a python and its packages that lie in root's closed home.
open_home() {
  local closed=/root staging=$ROOT/closed relative path
  [ -d $closed ] && [ $(( 0$(stat -c %a $closed) & 1 )) = 0 ] || return 0
  mount --bind $closed $staging
  mount -t tmpfs -o mode=755 tmpfs $closed
  for path in "$@"; do
    relative=$(realpath -m "$path" --relative-to=$closed)
    [[ $relative != ..* ]] && [ -d "$staging/$relative" ] && [ ! -d "$closed/$relative" ] || continue
    mkdir -p "$closed/$relative"
    mount --bind "$staging/$relative" "$closed/$relative"
  done
  umount -l $staging
}

# What the users' processes need: the checkout, and the pythons behind its environment and the engine's.
open_to_users() {
  local checkout=$1 python
  local wanted=("$checkout")
  for python in "$checkout/.venv/bin/python3" "${CAMPAIGN_TEST_ENGINE:-$checkout/.venv-engine}/bin/python3"; do
    wanted+=("$(dirname "$(dirname "$python")")" "$(dirname "$(dirname "$(realpath -m "$python")")")")
  done
  open_home "${wanted[@]}"
}
