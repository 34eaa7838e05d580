#!/usr/bin/env bash

#SBATCH -J daskflow-cars-controller
#SBATCH -n 1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH -t 01:00:00
#SBATCH -o /shared/runs/cars/4f1e2d3c5b/logs/%j.log
#SBATCH --requeue
#SBATCH --comment=daskflow:4f1e2d3c5b
export DASKFLOW_JOB="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
daskflow_host=login1 daskflow_machine=x86_64
daskflow_unfit() {
    echo "daskflow: node $(hostname) $*" >&2
    exit 78
}
if [ "$(uname -m)" != "$daskflow_machine" ]; then
    daskflow_unfit "is a machine of another kind, $(uname -m): the environment is of $daskflow_host, $daskflow_machine. Ask for such nodes with cluster.queue or cluster.directives."
fi
unset PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH
daskflow_archive=/shared/runs/cars/4f1e2d3c5b/environment.tar.gz
daskflow_sum=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
daskflow_place="${TMPDIR:-/tmp}"
daskflow_place="$daskflow_place/daskflow-$(id -u)"
daskflow_copy="$daskflow_place/$(echo "$daskflow_sum" | cut -c1-16)"
for daskflow_tool in flock tar gzip sha256sum; do
    if ! command -v "$daskflow_tool" > /dev/null; then
        daskflow_unfit "has no $daskflow_tool, which unpacks the environment: install it there, or install daskflow there and leave cluster.ship out."
    fi
done
if [ ! -r "$daskflow_archive" ]; then
    daskflow_unfit "does not see the environment $daskflow_archive: the run is over, or the folder is not shared. Name one that all nodes see with cluster.shared."
fi
if ! mkdir -p -m 700 "$daskflow_place" || [ ! -O "$daskflow_place" ] || [ -L "$daskflow_place" ]; then
    daskflow_unfit "cannot make $daskflow_place: name another local folder with cluster.scratch."
fi
for daskflow_old in "$daskflow_place"/*.lock; do
    if [ -e "$daskflow_old" ] && [ "$daskflow_old" != "$daskflow_copy.lock" ]; then
        flock -n "$daskflow_old" rm -rf "${daskflow_old%.lock}" "$daskflow_old"
    fi
done
rm -rf "$daskflow_place"/*.gone-*
daskflow_gives_up() {
    rm -rf "$daskflow_copy" "$daskflow_copy.lock"
    rmdir "$daskflow_place"
    daskflow_unfit "$*"
}
while true; do
    mkdir -p -m 700 "$daskflow_place" && exec 9>> "$daskflow_copy.lock"
    flock -s 9
    if [ /dev/fd/9 -ef "$daskflow_copy.lock" ] && [ -e "$daskflow_copy/ready" ]; then
        break
    fi
    flock 9
    if [ /dev/fd/9 -ef "$daskflow_copy.lock" ] && [ ! -e "$daskflow_copy/ready" ]; then
        rm -rf "$daskflow_copy"
        daskflow_free=$(df -Pk "$daskflow_place" | tail -n 1 | tr -s " " | cut -d " " -f 4)
        if [ "$daskflow_free" -lt 976562 ]; then
            daskflow_gives_up "has $daskflow_free kB free in $daskflow_place, and the environment needs 976562: name another local folder with cluster.scratch."
        fi
        if [ "$(sha256sum < "$daskflow_archive" | cut -c1-64)" != "$daskflow_sum" ]; then
            daskflow_gives_up "finds the environment $daskflow_archive damaged: run again, which packs it anew."
        fi
        if ! mkdir "$daskflow_copy" || ! tar -xzf "$daskflow_archive" -C "$daskflow_copy"; then
            daskflow_gives_up "cannot unpack $daskflow_archive into $daskflow_copy."
        fi
        : > "$daskflow_copy/ready"
    fi
done
export DASKFLOW_COPY="$daskflow_copy" DASKFLOW_ARCHIVE=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef:800000000:/shared/runs/cars/4f1e2d3c5b/environment.tar.gz
export PYTHONPATH="$daskflow_copy/site"
daskflow_python="$daskflow_copy/python/bin/python3.11"
if ! daskflow_found=$("$daskflow_python" -S -c "import ssl, ctypes" 2>&1); then
    daskflow_unfit "does not run the Python of $daskflow_host: $(echo "$daskflow_found" | tail -n 1). Its system may be too old: name another Python with cluster.python, and set cluster.ship = 'packages'."
fi
exec "$daskflow_python" -S -P "$daskflow_copy/start.py" -m daskflow run '/home/me/my cars.toml'
