#!/usr/bin/env bash
# slurm-node.sh kill|start|freeze|thaw NODE FOLDER: the death of a node, its silence, and its return. Death is SIGKILL,
# at once, for its slurmd, its step daemons and every process of its jobs: were only slurmd ended, Slurm would requeue
# jobs that still run. Silence is SIGSTOP: unlike a process that ends, one that is stopped closes no connection.
set -uo pipefail
command=${1:?slurm-node.sh kill|start|freeze|thaw NODE FOLDER} node=${2:?} folder=$(realpath -m "${3:?}")
export SLURM_CONF=$folder/slurm.conf
has() { grep -qzx "$2" "$1/environ" 2>/dev/null; }
processes=()
of_node() { # puts into processes the step daemons of the node and everything that runs in its jobs
    local process parents=" "
    for process in /proc/[0-9]*; do
        has "$process" "SLURMD_NODENAME=$node" && has "$process" "SLURM_CONF=$SLURM_CONF" || continue
        processes+=("${process#/proc/}")
        parents+="$(awk '/^PPid/ {print $2}' "$process/status" 2>/dev/null) "
    done
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = slurmstepd ] || continue
        case "$parents" in *" ${process#/proc/} "*) processes=("${process#/proc/}" ${processes[@]+"${processes[@]}"}) ;; esac
    done
}
signal() { of_node; kill "-$1" "$(cat "$folder/run/slurmd-$node.pid")" ${processes[@]+"${processes[@]}"} 2>/dev/null; }
case $command in
kill)
    signal KILL
    rm -f "$folder/run/slurmd-$node.pid"
    ;;
freeze) signal STOP ;;
thaw) signal CONT ;;
start) slurmd -N "$node" -f "$SLURM_CONF" ;;
*) echo "slurm-node.sh: kill, start, freeze or thaw, not $command" >&2; exit 2 ;;
esac
