#!/usr/bin/env bash

#$ -N daskflow-cars-1e2d3c5b
#$ -q long.q
#$ -P astro
#$ -l h_vmem=3200M
#$ -l h_rt=54:00:00
#$ -cwd
#$ -j y
#$ -S /bin/bash
#$ -o "/shared/my logs/$JOB_ID.log"
#$ -r n
#$ -pe smp 4
#$ -ac daskflow=4f1e2d3c5b
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
export DASKFLOW_JOB="$JOB_ID"; [ "${SGE_TASK_ID:-undefined}" = undefined ] || DASKFLOW_JOB="$JOB_ID.$SGE_TASK_ID"
export OMP_NUM_THREADS=2
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
export GREETING="it's $HOME & more"
module load gcc/12
ulimit -n 4096
exec '/opt/my env/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 4 --memory-limit 12.50GiB --nanny --death-timeout 120 --local-directory "/scratch/$USER/my files" --preload daskflow.clusters.batch_worker --preload-nanny daskflow.clusters.batch_worker --dashboard-address 127.0.0.1:0 --resources GPU=1 --interface ib0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
