#!/usr/bin/env bash
# pbs-down.sh FOLDER: end the Slurm that pbs-up.sh started from FOLDER, and remove FOLDER.
set -uo pipefail
folder=$(realpath -m "${1:?pbs-down.sh FOLDER}")
"$(dirname "$0")/../slurm/slurm-down.sh" "$folder/slurm" --purge
rm -rf "$folder"
