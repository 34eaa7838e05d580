#!/usr/bin/env bash

#SBATCH -J daskflow-cars
#SBATCH -p long
#SBATCH -A astro
#SBATCH -n 1
#SBATCH --cpus-per-task=8
#SBATCH --mem=13G
#SBATCH -t 2-06:00:00
#SBATCH -o "/shared/my logs/%j.log"
#SBATCH --no-requeue
#SBATCH --comment=daskflow:4f1e2d3c5b
#SBATCH --constraint=skylake
#SBATCH --exclusive
[ -e /shared/runs/cars/4f1e2d3c5b/lease ] || { echo 'The run is over: its lease is gone.'; exit 0; }
export DASKFLOW_JOB="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
export OMP_NUM_THREADS=2
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
export GREETING="it's $HOME & more"
module load gcc/12
ulimit -n 4096
exec '/opt/my env/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 4 --memory-limit 12.50GiB --nanny --death-timeout 120 --local-directory "/scratch/$USER/my files" --preload daskflow.clusters.batch_worker --resources GPU=1 --interface ib0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
