#!/usr/bin/env bash
# Bring up a cluster of real Slurm on this machine: three GPU nodes, a CPU node, accounting. Root only; whatever an earlier run
# left is removed first. Every node has its own address, host name, process table, /tmp, /dev/shm and cgroup root, so that Slurm's
# process tracking works as on a real cluster.
#   SECOND_NETWORK=1   every node's first interface, with the default route, leads nowhere; the real one is the second
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

check_machine() {
  [ "$(id -u)" = 0 ] || fail "only root can make network namespaces and control groups."
  local command controller
  for command in slurmctld slurmd slurmdbd munged mariadbd ip; do
    command -v $command > /dev/null || fail "$command is missing; run: make lab-packages"
  done
  for controller in $CONTROLLERS; do
    [ -f $CGROUPS/$controller/cgroup.procs ] || fail "control groups of version 1 are needed: $CGROUPS/$controller is not mounted."
  done
}

make_network() {
  ip link add $BRIDGE type bridge
  ip addr add $NETWORK.1/24 dev $BRIDGE
  ip link set $BRIDGE up
  local node
  for node in $GPU_NODES $CPU_NODES; do
    make_node_network $node
    echo "$NETWORK.$(node_number $node) $node # $GROUP" >> /etc/hosts
  done
}

# The interface that leads nowhere takes the usual name and the first place: code that guesses an interface guesses that one.
make_node_network() {
  local ns=$NETNS$1 number interface=eth0
  number=$(node_number $1)
  ip netns add $ns
  ip -n $ns link set lo up
  if [ -n "${SECOND_NETWORK:-}" ]; then
    ip link add cdead$number type veth peer name eth0 netns $ns
    ip link set cdead$number up
    ip -n $ns addr add $SECOND.$number/24 dev eth0
    ip -n $ns link set eth0 up
    ip -n $ns route add default via $SECOND.1
    interface=eth1
  fi
  ip link add cnode$number type veth peer name $interface netns $ns
  ip link set cnode$number master $BRIDGE up
  ip -n $ns addr add $NETWORK.$number/24 dev $interface
  ip -n $ns link set $interface up
}

node_line() { echo "NodeName=$1 NodeAddr=$NETWORK.$(node_number $1) CPUs=64 RealMemory=245760 State=UNKNOWN $2"; }

write_slurm_conf() {
  local node
  cat << C
ClusterName=alpine
SlurmctldHost=$(hostname -s)($NETWORK.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has expired, two minutes by default.
AuthInfo=socket=$ROOT/munge/socket,cred_expire=10
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool/%n
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmdPidFile=$ROOT/run/slurmd-%n.pid
SlurmctldLogFile=$ROOT/log/slurmctld.log
SlurmdLogFile=$ROOT/log/slurmd-%n.log
ProctrackType=proctrack/cgroup
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=3840
# The nodes claim more processors than this machine has.
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2,default_queue_depth=1000
PriorityType=priority/multifactor
JobRequeue=1
JobSubmitPlugins=lua
PreemptType=preempt/qos
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=20
MessageTimeout=20
BatchStartTimeout=60
KillWait=5
MinJobAge=300
InactiveLimit=0
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=$NETWORK.1
AccountingStoragePass=$ROOT/munge/socket
AccountingStorageTRES=gres/gpu,gres/gpu:$GPU_TYPE
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment,job_script
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobCompType=jobcomp/none
C
  for node in $GPU_NODES; do node_line $node "Gres=gpu:$GPU_TYPE:3 Feature=A100,rh8"; done
  for node in $CPU_NODES; do node_line $node ""; done
  cat << C
PartitionName=aa100 Nodes=${GPU_NODES// /,} MaxTime=7-00:00:00 AllowQos=gpu-normal,gpu-testing TRESBillingWeights="CPU=0.5,GRES/gpu=108.6"
# What acpu leaves idle: a job there (QoS cpu-spare) ends as PREEMPTED, and is not queued again, when acpu wants its processors.
PartitionName=aspare Nodes=${CPU_NODES// /,} MaxTime=1-00:00:00 PriorityTier=1 AllowQos=cpu-spare TRESBillingWeights="CPU=0.5"
PartitionName=acpu Nodes=${CPU_NODES// /,} Default=YES MaxTime=7-00:00:00 PriorityTier=10 AllowQos=cpu-normal TRESBillingWeights="CPU=0.5"
# The same nodes as Blanca has them: an owner's partition, and one with whatever is idle. Nothing is billed: no weights.
PartitionName=blanca-curc-gpu Nodes=${GPU_NODES// /,} MaxTime=7-00:00:00 AllowQos=preemptable,$OWNER
PartitionName=blanca Nodes=${CPU_NODES// /,},${GPU_NODES// /,} MaxTime=7-00:00:00 AllowQos=preemptable
# And as the cluster Heron of docs/another-cluster.md, which nobody else has heard of.
PartitionName=heron Nodes=${GPU_NODES// /,} MaxTime=2-00:00:00 AllowQos=day TRESBillingWeights="CPU=1,GRES/gpu=50"
PartitionName=heron-cpu Nodes=${CPU_NODES// /,} MaxTime=2-00:00:00 AllowQos=day TRESBillingWeights="CPU=1"
C
}

write_configuration() {
  mkdir -p $ROOT/etc $ROOT/dev
  local gpu
  for gpu in 0 1 2; do mknod $ROOT/dev/gpu$gpu c 240 $gpu; done  # Slurm wants a device file per GPU and never opens it
  write_slurm_conf > $ROOT/etc/slurm.conf
  echo "NodeName=${GPU_NODES// /,} Name=gpu Type=$GPU_TYPE File=$ROOT/dev/gpu[0-2]" > $ROOT/etc/gres.conf
  printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=$CGROUPS CgroupAutomount=no > $ROOT/etc/cgroup.conf
  cp "$here/job_submit.lua" $ROOT/etc/job_submit.lua
  (umask 077; cat > $ROOT/etc/slurmdbd.conf) << C
AuthType=auth/munge
AuthInfo=socket=$ROOT/munge/socket
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
LogFile=$ROOT/log/slurmdbd.log
PidFile=$ROOT/run/slurmdbd.pid
C
  # Not by SLURM_CONF: what runs below a job loses its SLURM_ variables. One rename or link at a time, so that down.sh can undo
  # it wherever this was killed.
  if [ -e /etc/slurm ]; then mv -T /etc/slurm $SAVED; fi
  ln -s $ROOT/etc /etc/slurm
}

start_munge() {
  mkdir -m 755 $ROOT/munge
  (umask 077; head -c 1024 /dev/urandom > $ROOT/munge/key)
  start munged munged --foreground --key-file=$ROOT/munge/key --socket=$ROOT/munge/socket \
    --pid-file=$ROOT/munge/pid --log-file=$ROOT/munge/log --seed-file=$ROOT/munge/seed
  wait_until 10 "munge" munge --socket=$ROOT/munge/socket -n
}

sql() { mariadb --no-defaults --socket=$ROOT/database/socket -u root "$@"; }

start_database() {
  mariadb-install-db --no-defaults --datadir=$ROOT/database --user=root --skip-test-db > $ROOT/log/install-db.log 2>&1
  start mariadbd mariadbd --no-defaults --user=root --datadir=$ROOT/database --socket=$ROOT/database/socket \
    --pid-file=$ROOT/run/mariadbd.pid --bind-address=127.0.0.1 --port=$DATABASE_PORT --skip-name-resolve \
    --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900
  wait_until 60 "MariaDB" sql -e 'select 1'
  sql -e "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm';
          grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
}

# Everyone's account first, the limits by GPU type after slurmctld has told the database that there is such a type.
start_slurm() {
  start slurmdbd slurmdbd -D
  wait_until 60 "slurmdbd" sacctmgr -n list cluster
  sacctmgr -iQ add cluster alpine
  sacctmgr -iQ add qos gpu-normal,gpu-testing,cpu-normal,cpu-spare
  sacctmgr -iQ modify qos gpu-normal set MaxWall=1-00:00:00
  sacctmgr -iQ modify qos gpu-testing set MaxWall=01:00:00 UsageFactor=0.1
  sacctmgr -iQ modify qos cpu-spare set PreemptMode=CANCEL
  sacctmgr -iQ modify qos cpu-normal set MaxWall=1-00:00:00 Preempt=cpu-spare
  sacctmgr -iQ add account ucb-general
  # The user root is there from the start, in the account root.
  sacctmgr -iQ add user root account=ucb-general
  sacctmgr -iQ modify user root set DefaultAccount=ucb-general
  sacctmgr -iQ modify user root where account=ucb-general set QOS=gpu-normal,gpu-testing,cpu-normal,cpu-spare DefaultQOS=cpu-normal
  add_owners
  add_account physics day 2-00:00:00
  add_users
  start slurmctld slurmctld -D
  wait_until 60 "slurmctld" scontrol ping
  wait_until 30 "the GPU type in the database" limit_gpus
}

# Blanca: jobs of the QoS preemptable have two minutes, and are queued again, when the owners of their nodes want these.
add_owners() {
  sacctmgr -iQ add qos preemptable,$OWNER
  sacctmgr -iQ modify qos preemptable set MaxWall=1-00:00:00 GraceTime=120 PreemptMode=REQUEUE
  sacctmgr -iQ modify qos $OWNER set MaxWall=7-00:00:00 Priority=1000 Preempt=preemptable
  sacctmgr -iQ add account $OWNER
  sacctmgr -iQ add user root account=$OWNER
  sacctmgr -iQ modify user root where account=$OWNER set QOS=preemptable,$OWNER DefaultQOS=preemptable
}

# An account of root's with a QoS: add_account NAME QOS MAXWALL
add_account() {
  sacctmgr -iQ add qos $2
  sacctmgr -iQ modify qos $2 set MaxWall=$3
  sacctmgr -iQ add account $1
  sacctmgr -iQ add user root account=$1
  sacctmgr -iQ modify user root where account=$1 set QOS=$2 DefaultQOS=$2
}

add_users() {
  local user
  for user in $USERS; do
    useradd --create-home --shell /bin/bash $user
    sacctmgr -iQ add user $user account=ucb-general
    sacctmgr -iQ modify user $user where account=ucb-general set QOS=gpu-normal,gpu-testing,cpu-normal DefaultQOS=cpu-normal
  done
}

limit_gpus() { sacctmgr -iQ modify qos gpu-normal set MaxTRESPerUser=gres/gpu:$GPU_TYPE=8; }

all_idle() { [ "$(sinfo -h -N -o '%N %T' | sort -u | cut -d' ' -f2 | uniq -c | tr -s ' ')" = " $(echo $GPU_NODES $CPU_NODES | wc -w) idle" ]; }

# A lock that the caller holds (flock) would live as long as the daemons, which inherit its file.
close_inherited() {
  local fd
  for fd in /proc/$$/fd/*; do
    fd=${fd##*/}
    if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then eval "exec $fd>&-"; fi
  done
}

close_inherited
check_machine
take_turn
"$here/down.sh"
rm -rf $ROOT/log
mkdir -p $ROOT/{log,run,state,spool,shared,small,closed}
mount -t tmpfs -o size=32m tmpfs $ROOT/small  # soon full; before the nodes start, which see only what was mounted then
make_groups controller
make_network
write_configuration
start_munge
start_database
start_slurm > $ROOT/log/sacctmgr.log
for node in $GPU_NODES $CPU_NODES; do "$here/node.sh" $node; done
wait_until 60 "idle nodes" all_idle
touch $ROOT/up
