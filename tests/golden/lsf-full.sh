#!/usr/bin/env bash

#BSUB -J daskflow-cars
#BSUB -q long
#BSUB -P "astro"
#BSUB -n 4
#BSUB -R "span[hosts=1]"
#BSUB -M 14
#BSUB -W 54:00
#BSUB -o "/shared/my logs/%J.log"
#BSUB -rn
#BSUB -Jd "daskflow:4f1e2d3c5b"
#BSUB -R "select[avx2]"
[ -e /shared/runs/cars/4f1e2d3c5b/lease ] || { echo 'The run is over: its lease is gone.'; exit 0; }
export DASKFLOW_JOB="$LSB_JOBID"; [ "${LSB_JOBINDEX:-0}" = 0 ] || DASKFLOW_JOB="$LSB_JOBID[$LSB_JOBINDEX]"
export OMP_NUM_THREADS=2
export OMP_WAIT_POLICY=passive
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export MALLOC_TRIM_THRESHOLD_=65536
export GREETING="it's $HOME & more"
module load gcc/12
ulimit -n 4096
exec '/opt/my env/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name "$DASKFLOW_JOB" --nthreads 4 --memory-limit 12.50GiB --nanny --death-timeout 120 --local-directory "/scratch/$USER/my files" --preload daskflow.clusters.batch_worker --resources GPU=1 --interface ib0 --tls-ca-file /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-cert /shared/runs/cars/4f1e2d3c5b/keys/cert.pem --tls-key /shared/runs/cars/4f1e2d3c5b/keys/key.pem
