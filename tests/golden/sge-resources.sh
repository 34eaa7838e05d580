#!/usr/bin/env bash

#$ -N daskflow-cars
#$ -l h_vmem=4G,gpu=1
#$ -l h_rt=01:00:00
#$ -cwd
#$ -j y
#$ -S /bin/bash
#$ -o /shared/runs/cars/4f1e2d3c5b/logs/$JOB_ID.log
#$ -r n
#$ -ac daskflow=4f1e2d3c5b
[ -e /shared/runs/cars/4f1e2d3c5b/lease ] || { echo 'The run is over: its lease is gone.'; exit 0; }
export DASKFLOW_JOB="$JOB_ID"; [ "${SGE_TASK_ID:-undefined}" = undefined ] || DASKFLOW_JOB="$JOB_ID.$SGE_TASK_ID"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 1 --memory-limit 4.00GiB --nanny --death-timeout 60 --preload daskflow.clusters.batch_worker --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
