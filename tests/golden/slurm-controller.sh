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
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
