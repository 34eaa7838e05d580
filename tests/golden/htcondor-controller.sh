#!/usr/bin/env condor_submit

MY.DaskWorkerName = "htcondor--$F(MY.JobId)--"
batch_name = "daskflow-cars-controller"
RequestCpus = MY.DaskWorkerCores
RequestMemory = floor(MY.DaskWorkerMemory / 1048576)
RequestDisk = floor(MY.DaskWorkerDisk / 1024)
MY.JobId = "$(ClusterId).$(ProcId)"
MY.DaskWorkerCores = 1
MY.DaskWorkerMemory = 4294967296
MY.DaskWorkerDisk = 10737418240
Output = /shared/runs/cars/4f1e2d3c5b/logs/$(ClusterId).$(ProcId).out
Error = /shared/runs/cars/4f1e2d3c5b/logs/$(ClusterId).$(ProcId).out
Log = /shared/runs/cars/4f1e2d3c5b/logs/$(ClusterId).$(ProcId).events
Stream_Output = True
Stream_Error = True
periodic_remove = (JobStatus == 2 && time() - JobCurrentStartDate > 3600)
MY.DaskflowSeconds = 3600
MY.DaskflowRun = "4f1e2d3c5b"

Arguments = "-c 'export DASKFLOW_JOB=$(ClusterId).$(ProcId); [ -w /shared/runs/cars/4f1e2d3c5b/logs ] && exec >> /shared/runs/cars/4f1e2d3c5b/logs/""$DASKFLOW_JOB.log"" 2>&1; export OMP_NUM_THREADS=1; export OMP_WAIT_POLICY=passive; export MKL_NUM_THREADS=1; export OPENBLAS_NUM_THREADS=1; export MALLOC_TRIM_THRESHOLD_=65536; exec /opt/env/bin/python -m daskflow run ''/home/me/my cars.toml'''"
Executable = /bin/sh

Queue
