#!/usr/bin/env bash

#PBS -N daskflow-cars
#PBS -q long
#PBS -A astro
#PBS -l select=1:ncpus=4:mem=13GB
#PBS -l walltime=54:00:00
#PBS -S /bin/bash
#PBS -j oe
#PBS -o "/shared/my logs/"
#PBS -r n
#PBS -v DASKFLOW_RUN=4f1e2d3c5b
#PBS -m n
[ -e /shared/runs/cars/4f1e2d3c5b/lease ] || { echo 'The run is over: its lease is gone.'; exit 0; }
export DASKFLOW_JOB="$PBS_JOBID"
export OMP_NUM_THREADS=2
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
export GREETING="it's $HOME & more"
module load gcc/12
ulimit -n 4096
exec '/opt/my env/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 4 --memory-limit 12.50GiB --nanny --death-timeout 120 --local-directory "/scratch/$USER/my files" --preload daskflow.clusters.batch_worker --resources GPU=1 --interface ib0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
