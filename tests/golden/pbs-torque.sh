#!/usr/bin/env bash

#PBS -N cars-1e2d3c5b
#PBS -l nodes=1:ppn=1,mem=4gb
#PBS -l walltime=02:30:00
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /shared/runs/cars/4f1e2d3c5b/logs/
#PBS -r n
#PBS -v DASKFLOW_RUN=4f1e2d3c5b
export DASKFLOW_JOB="${PBS_JOBID:-$SLURM_JOB_ID}"; DASKFLOW_JOB="${DASKFLOW_JOB%%.*}"
[ ! -e /shared/runs/cars/4f1e2d3c5b/logs/"$DASKFLOW_JOB".log ] || { echo "daskflow: the queue started this job again; another worker has taken its place." >> /shared/runs/cars/4f1e2d3c5b/logs/"$DASKFLOW_JOB".log; exit 0; }
exec >> /shared/runs/cars/4f1e2d3c5b/logs/"$DASKFLOW_JOB".log 2>&1
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
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 1 --memory-limit 4.00GiB --nanny --death-timeout 60 --preload daskflow.clusters.batch_worker --preload-nanny daskflow.clusters.batch_worker --dashboard-address 127.0.0.1:0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
