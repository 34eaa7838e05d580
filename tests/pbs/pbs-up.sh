#!/usr/bin/env bash
# pbs-up.sh FOLDER PACKAGES [NODES] [CPUS] [MEMORY_MB]: PBS's commands over a real Slurm on this one machine, for tests.
# The commands are those of Debian's package slurm-wlm-torque, unpacked (not installed) in PACKAGES with the libraries
# that they need; FOLDER/bin has them, and that folder in PATH is all that a user of them needs.
# Ports: SLURM_UP_PORT (17000) and the next, see slurm-up.sh.
set -euo pipefail
folder=$(realpath -m "${1:?pbs-up.sh FOLDER PACKAGES [NODES] [CPUS] [MEMORY_MB]}")
packages=$(realpath "${2:?pbs-up.sh FOLDER PACKAGES [NODES] [CPUS] [MEMORY_MB]}")/usr
[ -x "$packages/bin/qsub" ] || { echo "pbs-up.sh: no qsub in $packages/bin" >&2; exit 1; }
mkdir -p "$folder"/{bin,real}
chmod 755 "$folder"
"$(dirname "$0")/../slurm/slurm-up.sh" "$folder/slurm" "${3:-2}" "${4:-4}" "${5:-20000}" >/dev/null
for name in sbatch salloc srun; do ln -sf "$(command -v $name)" "$folder/real/$name"; done
perl=$(find "$packages/lib" -name Slurm.pm -printf '%h' -quit)
library=$(find "$packages/lib" -name 'libslurm.so.*' -printf '%h' -quit)
for name in qsub qstat qdel pbsnodes; do
    cp "$packages/bin/$name" "$folder/real/$name"
    cat >"$folder/bin/$name" <<CONF
#!/bin/sh
export SLURM_CONF=$folder/slurm/slurm.conf PERL5LIB=$perl:$packages/share/perl5 LD_LIBRARY_PATH=$library
exec perl $folder/real/$name "\$@"
CONF
    chmod 755 "$folder/bin/$name"
done
echo "run: PATH=$folder/bin:\$PATH"
