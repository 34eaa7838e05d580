#!/usr/bin/env bash
# slurm-node.sh kill|start NODE FOLDER: the death of a node, and its return. Death is SIGKILL, at once, for its slurmd,
# its step daemons and every process of its jobs: were only slurmd ended, Slurm would requeue jobs that still run.
set -uo pipefail
command=${1:?slurm-node.sh kill|start NODE FOLDER} node=${2:?} folder=$(realpath -m "${3:?}")
export SLURM_CONF=$folder/slurm.conf
has() { grep -qzx "$2" "$1/environ" 2>/dev/null; }
case $command in
kill)
    processes=()
    parents=" "
    for process in /proc/[0-9]*; do
        has "$process" "SLURMD_NODENAME=$node" && has "$process" "SLURM_CONF=$SLURM_CONF" || continue
        processes+=("${process#/proc/}")
        parents+="$(awk '/^PPid/ {print $2}' "$process/status" 2>/dev/null) "
    done
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = slurmstepd ] || continue
        case "$parents" in *" ${process#/proc/} "*) processes=("${process#/proc/}" ${processes[@]+"${processes[@]}"}) ;; esac
    done
    kill -9 "$(cat "$folder/run/slurmd-$node.pid")" ${processes[@]+"${processes[@]}"} 2>/dev/null
    rm -f "$folder/run/slurmd-$node.pid"
    ;;
start) slurmd -N "$node" -f "$SLURM_CONF" ;;
*) echo "slurm-node.sh: kill or start, not $command" >&2; exit 2 ;;
esac
