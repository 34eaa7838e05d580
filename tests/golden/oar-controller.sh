#!/usr/bin/env bash

#OAR -n daskflow-cars-controller:4f1e2d3c5b
#OAR -l /nodes=1/core=1,walltime=01:00:00
#OAR -O /shared/runs/cars/4f1e2d3c5b/logs/%jobid%.log
#OAR -E /shared/runs/cars/4f1e2d3c5b/logs/%jobid%.log
#OAR -t idempotent
export DASKFLOW_JOB="$OAR_JOB_ID"
export OMP_NUM_THREADS=1
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
exec /opt/env/bin/python -m daskflow run '/home/me/my cars.toml'
