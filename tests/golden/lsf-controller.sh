#!/usr/bin/env bash

#BSUB -J daskflow-cars-controller
#BSUB -n 1
#BSUB -M 4294968
#BSUB -W 01:00
#BSUB -o /shared/runs/cars/4f1e2d3c5b/logs/%J_%I.lsf
#BSUB -r
#BSUB -Jd "daskflow:4f1e2d3c5b"
export DASKFLOW_JOB="$LSB_JOBID"; [ "${LSB_JOBINDEX:-0}" = 0 ] || DASKFLOW_JOB="$LSB_JOBID[$LSB_JOBINDEX]"
[ -w /shared/runs/cars/4f1e2d3c5b/logs ] && exec >> /shared/runs/cars/4f1e2d3c5b/logs/"$DASKFLOW_JOB.log" 2>&1
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
