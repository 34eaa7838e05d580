#!/usr/bin/env bash
# batch_packages.sh FOLDER: unpack in FOLDER what the tests of Grid Engine and of PBS's commands run: FOLDER/sge, FOLDER/pbs.
# Unpacked and not installed, since the packages shut each other out, and would bring a mail server and daemons.
# What is there already stays. Needs apt-get and a network, and no other right than that to write to FOLDER.
set -euo pipefail
folder=$(realpath -m "${1:?batch_packages.sh FOLDER}")
unpack() { # unpack NAME PACKAGE...
    local target=$folder/$1 debs
    shift
    [ -e "$target/complete" ] && return
    mkdir -p "$target"
    debs=$(mktemp -d)
    (cd "$debs" && apt-get -o APT::Sandbox::User=root download -qq "$@" >/dev/null)
    for deb in "$debs"/*.deb; do dpkg -x "$deb" "$target"; done
    rm -rf "$debs"
    touch "$target/complete"
}
unpack sge gridengine-common gridengine-client gridengine-exec gridengine-master
unpack pbs slurm-wlm-torque libslurm-perl libslurmdb-perl "$(apt-cache depends libslurm-perl | sed -n 's/.*Depends: \(libslurm[0-9]*\)$/\1/p')" libswitch-perl
