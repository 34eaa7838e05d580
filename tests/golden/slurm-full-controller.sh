#!/usr/bin/env bash

#SBATCH -J daskflow-cars-controller
#SBATCH -p long
#SBATCH -A astro
#SBATCH -n 1
#SBATCH --cpus-per-task=4
#SBATCH --mem=13G
#SBATCH -t 2-06:00:00
#SBATCH -o "/shared/my logs/%j.log"
#SBATCH --no-requeue
#SBATCH --comment=daskflow:4f1e2d3c5b
export DASKFLOW_JOB="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
export OMP_NUM_THREADS=2
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
export GREETING="it's $HOME & more"
module load gcc/12
ulimit -n 4096
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
