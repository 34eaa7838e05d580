#!/usr/bin/env bash
# slurm-down.sh FOLDER [--purge]: ends, by process ID, what slurm-up.sh started from FOLDER; --purge removes FOLDER too.
set -uo pipefail
folder=$(realpath -m "${1:?slurm-down.sh FOLDER [--purge]}")
export SLURM_CONF="$folder/slurm.conf"
[ -e "$SLURM_CONF" ] || { echo "nothing runs from $folder"; exit 0; }

# First the jobs, so that no step outlives its node.
if timeout 5 scontrol ping 2>/dev/null | grep -q 'is UP'; then
    for _ in $(seq 50); do
        jobs=$(squeue -h -o %A 2>/dev/null)
        [ -n "$jobs" ] || break
        # shellcheck disable=SC2086
        scancel $jobs 2>/dev/null
        sleep 0.2
    done
fi

is_gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
end() { # FILE PROGRAM: the process whose ID FILE holds, if it is still that program
    [ -s "$1" ] || return 0
    local process; process=$(cat "$1")
    case "$(cat "/proc/$process/comm" 2>/dev/null)" in "$2"*) ;; *) rm -f "$1"; return 0 ;; esac
    kill "$process" 2>/dev/null
    for _ in $(seq 50); do is_gone "$process" && { rm -f "$1"; return 0; }; sleep 0.1; done
    kill -9 "$process" 2>/dev/null
    rm -f "$1"
}
for file in "$folder"/run/slurmd-*.pid; do [ -e "$file" ] && end "$file" slurmd; done
end "$folder/run/slurmctld.pid" slurmctld
end "$folder/munge/munged.pid" munged

# Last what a node that was killed left behind, known by its configuration being ours.
for process in /proc/[0-9]*; do
    [ "$(cat "$process/comm" 2>/dev/null)" = slurmstepd ] || continue
    { tr '\0' '\n' <"$process/environ"; } 2>/dev/null | grep -qx "SLURM_CONF=$SLURM_CONF" && kill "${process#/proc/}" 2>/dev/null
done
[ "${2:-}" = --purge ] && rm -rf "$folder"
exit 0
