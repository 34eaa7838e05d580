#!/usr/bin/env bash

#PBS -N daskflow-cars-controller
#PBS -l select=1:ncpus=1:mem=4096MB
#PBS -l walltime=01:00:00
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /shared/runs/cars/4f1e2d3c5b/logs/
#PBS -r y
#PBS -v DASKFLOW_RUN=4f1e2d3c5b
export DASKFLOW_JOB="$PBS_JOBID"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
