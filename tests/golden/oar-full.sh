#!/usr/bin/env bash

#OAR -n daskflow-cars
#OAR -q night
#OAR --project astro
#OAR -l /nodes=1/core=4,walltime=54:00:00
#OAR -O "/shared/my logs/%jobid%.log"
#OAR -E "/shared/my logs/%jobid%.log"
#OAR -p memcore>=3200
[ -e /shared/runs/cars/4f1e2d3c5b/lease ] || { echo 'The run is over: its lease is gone.'; exit 0; }
export DASKFLOW_JOB="$OAR_JOB_ID"
export OMP_NUM_THREADS=2
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
export GREETING="it's $HOME & more"
module load gcc/12
ulimit -n 4096
exec '/opt/my env/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 4 --memory-limit 12.50GiB --nanny --death-timeout 120 --local-directory "/scratch/$USER/my files" --preload daskflow.clusters.batch_worker --resources GPU=1 --interface ib0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
