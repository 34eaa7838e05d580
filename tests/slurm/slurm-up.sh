#!/usr/bin/env bash
# slurm-up.sh FOLDER [NODES] [CPUS] [MEMORY_MB]: a real Slurm on this one machine, for tests.
# One munged, one slurmctld and NODES slurmds on the loopback address: no systemd, no cgroups, no database, nothing in
# /etc. Ports: SLURM_UP_PORT (17000) for slurmctld, the next NODES for the nodes. What already runs from FOLDER stays.
# Needs root, the packages slurmctld slurmd slurm-client munge, and a slurmd that knows -N (Debian's and Ubuntu's do).
set -euo pipefail
folder=$(realpath -m "${1:?slurm-up.sh FOLDER [NODES] [CPUS] [MEMORY_MB]}")
nodes=${2:-4} cpus=${3:-4} memory=${4:-20000} port=${SLURM_UP_PORT:-17000}
fail() { echo "slurm-up.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "only root can start the daemons"
for program in munged slurmctld slurmd sbatch setpriv; do command -v $program >/dev/null || fail "$program is not installed"; done
slurmd -h 2>&1 | grep -q -- '-N node' || fail "this slurmd cannot play several nodes (-N)"

# 1. Folders, key, configuration ------------------------------------------------------------------------------------
host=$(hostname -s)
mkdir -p "$folder"/{munge,state,spool,log,run}
chmod 755 "$folder"
[ -s "$folder/munge/munge.key" ] || (umask 077; dd if=/dev/urandom of="$folder/munge/munge.key" bs=1 count=1024 status=none)
chown -R munge:munge "$folder/munge"; chmod 755 "$folder/munge"; chmod 400 "$folder/munge/munge.key"
touch "$folder/log/jobcomp.log"
chown slurm:slurm "$folder"/{state,log,run} "$folder/log/jobcomp.log"; chmod 755 "$folder"/{state,log,run,spool}
if [ "$nodes" = 1 ]; then names=n1 ports=$((port + 1)); else names="n[1-$nodes]" ports="[$((port + 1))-$((port + nodes))]"; fi

cat >"$folder/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$folder/munge/munge.socket
CredType=cred/munge
SlurmUser=slurm
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
# neither cgroups nor systemd nor MPI
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
# the processors and the memory below count, whatever the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
# a job's memory is sampled, and the job ended when it is over its request: what cgroups would do
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill,UsePss
# a dead node is noticed in 10 s instead of 300, and a job that ignores SIGTERM lives 3 s instead of 30
SlurmctldTimeout=30
SlurmdTimeout=10
InactiveLimit=0
KillWait=3
MinJobAge=120
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobcomp.log
NodeName=$names NodeHostname=$host NodeAddr=127.0.0.1 Port=$ports CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 DefMemPerCPU=500 State=UP
PartitionName=short Nodes=ALL MaxTime=1 DefaultTime=1 DefMemPerCPU=500 State=UP
PartitionName=closed Nodes=ALL MaxTime=10 State=DOWN
CONF
chmod 644 "$folder/slurm.conf"
echo "export SLURM_CONF=$folder/slurm.conf" >"$folder/env.sh"
export SLURM_CONF="$folder/slurm.conf"

# 2. Daemons, each with its file under FOLDER/run -------------------------------------------------------------------
# Where the first process of a container reaps nobody, ended daemons stay as zombies, which answer to kill -0.
is_alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$(cat "$1")/status" 2>/dev/null; }
wait_for() { for _ in $(seq 600); do eval "$1" && return 0; sleep 0.1; done; fail "waited 60 s for: $1; see $folder/log"; }
socket="$folder/munge/munge.socket"
if ! is_alive "$folder/munge/munged.pid"; then
    rm -f "$socket"*
    setpriv --reuid munge --regid munge --clear-groups munged --force --key-file="$folder/munge/munge.key" \
        --socket="$socket" --pid-file="$folder/munge/munged.pid" --log-file="$folder/munge/munged.log" \
        --seed-file="$folder/munge/munged.seed"
fi
wait_for "munge -n -S $socket 2>/dev/null | unmunge -S $socket >/dev/null 2>&1"
is_alive "$folder/run/slurmctld.pid" || slurmctld -i -f "$SLURM_CONF"
wait_for "scontrol ping 2>/dev/null | grep -q 'is UP'"
for number in $(seq "$nodes"); do
    mkdir -p "$folder/spool/n$number"
    is_alive "$folder/run/slurmd-n$number.pid" || slurmd -N "n$number" -f "$SLURM_CONF"
done

# 3. Every node answers; one that was down when its state was saved is put back -------------------------------------
for _ in $(seq 900); do
    states=$(sinfo -h -N -p normal -o '%N %T' 2>/dev/null || true)
    if [ -n "$states" ] && ! grep -qvE ' (idle|mixed|allocated|completing)$' <<<"$states"; then
        echo "run: . $folder/env.sh"
        exit 0
    fi
    awk '$2 ~ /^(down|drained)$/ {print $1}' <<<"$states" | while read -r node; do
        scontrol update nodename="$node" state=resume 2>/dev/null || true
    done
    sleep 0.1
done
fail "not all nodes came; see $folder/log"
