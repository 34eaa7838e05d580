#!/usr/bin/env bash

#$ -N daskflow-cars-controller-1e2d3c5b
#$ -l mem_free=4096M
#$ -l h_rt=01:00:00
#$ -cwd
#$ -j y
#$ -S /bin/bash
#$ -o /shared/runs/cars/4f1e2d3c5b/logs/$JOB_ID.log
#$ -r y
#$ -ac daskflow=4f1e2d3c5b
export DASKFLOW_JOB="$JOB_ID"; [ "${SGE_TASK_ID:-undefined}" = undefined ] || DASKFLOW_JOB="$JOB_ID.$SGE_TASK_ID"
export PATH="$PATH${SGE_O_PATH:+:$SGE_O_PATH}"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
