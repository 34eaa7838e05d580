#!/usr/bin/env bash

#PBS -N cars-1e2d3c5b
#PBS -l select=1:ncpus=1:mem=4096MB
#PBS -l walltime=01:00:00
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /shared/runs/cars/4f1e2d3c5b/logs/
#PBS -r y
#PBS -v DASKFLOW_RUN=4f1e2d3c5b
export DASKFLOW_JOB="${PBS_JOBID:-$SLURM_JOB_ID}"; DASKFLOW_JOB="${DASKFLOW_JOB%%.*}"
exec >> /shared/runs/cars/4f1e2d3c5b/logs/"$DASKFLOW_JOB".log 2>&1
export PATH="$PATH${PBS_O_PATH:+:$PBS_O_PATH}"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
