#!/usr/bin/env bash
# sge-down.sh FOLDER [--purge]: end the Grid Engine that sge-up.sh started from FOLDER; with --purge remove FOLDER too.
set -uo pipefail
folder=$(realpath -m "${1:?sge-down.sh FOLDER [--purge]}")
is_alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
family() { # a process and all that it started
    local child
    echo "$1"
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do family "$child"; done
}
# First the jobs, then the daemons with whatever is left of the jobs.
if [ -x "$folder/bin/qdel" ] && timeout 5 "$folder/bin/qdel" -u '*' >/dev/null 2>&1; then
    for _ in $(seq 30); do [ -n "$("$folder/bin/qstat" -u '*')" ] || break; sleep 0.1; done
fi
for file in "$folder"/spool/execd/*/execd.pid "$folder/spool/qmaster/qmaster.pid"; do
    pid=$(cat "$file" 2>/dev/null) && is_alive "$pid" && kill -KILL $(family "$pid") 2>/dev/null
    rm -f "$file"
done
if pid=$(cat "$folder/namespace.pid" 2>/dev/null); then
    kill -KILL "$pid" 2>/dev/null # with the last process of it the namespace and its mounts are gone
    rm -f "$folder/namespace.pid"
fi
[ "${2:-}" = --purge ] && rm -rf "$folder"
exit 0
