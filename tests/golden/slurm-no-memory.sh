#!/usr/bin/env bash

#SBATCH -J daskflow-cars
#SBATCH -n 1
#SBATCH --cpus-per-task=1
#SBATCH -t 01:00:00
#SBATCH -o /shared/runs/cars/4f1e2d3c5b/logs/%j.log
#SBATCH --no-requeue
#SBATCH --comment=daskflow:4f1e2d3c5b
[ -e /shared/runs/cars/4f1e2d3c5b/lease ] || { echo 'The run is over: its lease is gone.'; exit 0; }
export DASKFLOW_JOB="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 1 --memory-limit 4.00GiB --nanny --death-timeout 60 --preload daskflow.clusters.batch_worker --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
