#!/usr/bin/env bash

#SBATCH -J daskflow-cars
#SBATCH -n 1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH -t 01:00:00
#SBATCH -o /shared/runs/cars/4f1e2d3c5b/logs/%j.log
#SBATCH --no-requeue
#SBATCH --comment=daskflow:4f1e2d3c5b
daskflow_lease=/shared/runs/cars/4f1e2d3c5b/lease daskflow_address=tls://10.0.0.1:8786
if ! grep -qsF -- "\"$daskflow_address\"" "$daskflow_lease"; then
    echo "daskflow: this job is not needed, or its node does not see the folder of the run: no lease of"
    echo "$daskflow_address is in $daskflow_lease."
    exit 0
fi
daskflow_waited=0
while grep -qsF -- "\"address\": \"\"" "$daskflow_lease" && [ "$daskflow_waited" -lt 300 ]; do
    sleep 2
    daskflow_waited=$((daskflow_waited + 2))
done
daskflow_said=$(cat "$daskflow_lease")
daskflow_said=${daskflow_said#*\"address\": \"}
daskflow_address=${daskflow_said%%\"*}
if [ -z "$daskflow_address" ]; then
    echo "daskflow: this job is not needed: no controller has come that goes on with the run."
    exit 0
fi
daskflow_now="$daskflow_lease-$(hostname)-$$"
if : > "$daskflow_now"; then
    daskflow_age=$(( $(stat -c %Y "$daskflow_now") - $(stat -c %Y "$daskflow_lease") ))
    rm -f "$daskflow_now"
    if [ "$daskflow_age" -gt 60 ]; then
        echo "daskflow: this job is not needed: its scheduler was killed $daskflow_age s ago."
        exit 0
    fi
fi
daskflow_place=${daskflow_address#*://}
if ! timeout 20 bash -c ": < /dev/tcp/${daskflow_place%:*}/${daskflow_place##*:}"; then
    echo "daskflow: node $(hostname) does not reach the scheduler at $daskflow_address: it was killed, or"
    echo "listens on a network that this node is not in (cluster.interface names another)."
    exit 1
fi
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
daskflow_python=/opt/env/bin/python
daskflow_help="name another with cluster.python or lines of cluster.prologue, or ship that of $daskflow_host, too: cluster.ship = 'python'."
if ! daskflow_found=$("$daskflow_python" -S -c 'import sys, sysconfig; print(sysconfig.get_config_var('"'"'SOABI'"'"'), '"'"'%d.%d.%d'"'"' % sys.version_info[:3])' 2>&1); then
    daskflow_unfit "does not run $daskflow_python ($(echo "$daskflow_found" | tail -n 1)), and the run needs Python 3.11: $daskflow_help"
fi
if [ "${daskflow_found% *}" != cpython-311-x86_64-linux-gnu ]; then
    daskflow_unfit "has another Python: $daskflow_python is ${daskflow_found##* } (${daskflow_found% *}), and the run's on $daskflow_host is 3.11 (cpython-311-x86_64-linux-gnu): $daskflow_help"
fi
daskflow_archive=/shared/runs/cars/4f1e2d3c5b/environment.tar.gz
daskflow_sum=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
daskflow_place="/scratch/$USER/my files"
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
exec "$daskflow_python" -S -P "$daskflow_copy/start.py" -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 1 --memory-limit 4.00GiB --nanny --death-timeout 60 --local-directory "/scratch/$USER/my files" --preload daskflow.clusters.batch_worker --preload-nanny daskflow.clusters.batch_worker --dashboard-address 127.0.0.1:0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
