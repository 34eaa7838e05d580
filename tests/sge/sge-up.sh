#!/usr/bin/env bash
# sge-up.sh FOLDER PACKAGES [SLOTS]: a real Grid Engine on this one machine, for tests.
# One sge_qmaster and one sge_execd from Debian's packages gridengine-{common,client,exec,master}, unpacked (not
# installed) in PACKAGES: no user, no service, nothing in /etc. Ports: SGE_UP_PORT (18400) and the next. Grid Engine
# refuses a host whose name is of the loopback address, so daemons and commands run in a mount namespace of their own,
# whose hosts file names this machine by another address of it. Commands for outside are in FOLDER/bin.
# Queues: all.q, short.q (one minute of walltime), closed.q (disabled); parallel environment smp. Needs root.
set -euo pipefail
folder=$(realpath -m "${1:?sge-up.sh FOLDER PACKAGES [SLOTS]}")
packages=$(realpath "${2:?sge-up.sh FOLDER PACKAGES [SLOTS]}")/usr
slots=${3:-8} port=${SGE_UP_PORT:-18400}
fail() { echo "sge-up.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "only root can start the daemons"
lib=$packages/lib/gridengine
[ -x "$lib/sge_qmaster" ] || fail "no sge_qmaster in $lib"
host=$(hostname -s)
address=$(hostname -I | tr ' ' '\n' | grep -m1 -E '^[0-9.]+$' || true)
[ -n "$address" ] || fail "this machine has no address but the loopback one"

# 1. Folders, configuration, namespace ------------------------------------------------------------------------------
root=$folder/sge common=$folder/sge/default/common
mkdir -p "$root"/{bin,lib,utilbin} "$common" "$folder"/{bin,spool/qmaster,spool/execd,spooldb,conf}
for name in bin lib utilbin; do ln -sfn "$lib" "$root/$name/lx-amd64"; done
ln -sfn "$packages/share/gridengine/util" "$root/util"
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$host" >"$folder/conf/hosts"
echo "$host" >"$common/act_qmaster"
cat >"$common/bootstrap" <<CONF
admin_user none
default_domain none
ignore_fqdn true
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params $folder/spooldb
binary_path $root/bin
qmaster_spool_dir $folder/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
jvm_threads 0
CONF
cat >"$folder/env.sh" <<CONF
export SGE_ROOT=$root SGE_CELL=default SGE_ARCH=lx-amd64 SGE_QMASTER_PORT=$port SGE_EXECD_PORT=$((port + 1))
export PATH=$folder/bin:\$PATH
CONF
. "$folder/env.sh"
export LD_LIBRARY_PATH=$lib
is_alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$(cat "$1")/status" 2>/dev/null; }
if ! is_alive "$folder/namespace.pid"; then
    # The spooling library is looked for in this folder as the daemon starts; outside of the namespace it is empty, and
    # removed afterwards: one start at a time, since that ends a mount there.
    exec 9>/tmp/daskflow-sge-up.lock
    flock 9
    mkdir -p /usr/lib/gridengine
    unshare --mount --propagation private bash -c "mount --bind '$folder/conf/hosts' /etc/hosts
        mount --bind '$lib' /usr/lib/gridengine
        echo \$\$ >'$folder/namespace.pid'; exec sleep infinity" </dev/null >/dev/null 2>&1 9>&- &
    for _ in $(seq 600); do [ -s "$folder/namespace.pid" ] && break; sleep 0.1; done
    is_alive "$folder/namespace.pid" || fail "no mount namespace could be made"
fi
within() { nsenter --target "$(cat "$folder/namespace.pid")" --mount --wd="$folder" "$@" 9>&-; }
for name in qsub qstat qdel qconf qacct qhost qselect qmod qalter; do
    cat >"$folder/bin/$name" <<CONF
#!/bin/sh
. $folder/env.sh
exec nsenter --target $(cat "$folder/namespace.pid") --mount --wd="\$PWD" $lib/$name "\$@"
CONF
    chmod 755 "$folder/bin/$name"
done

# 2. Daemons --------------------------------------------------------------------------------------------------------
if [ ! -e "$folder/spooldb/sge" ]; then
    sed -e "s#^execd_spool_dir.*#execd_spool_dir $folder/spool/execd#; s/^min_[ug]id.*//" \
        -e "s/^load_report_time.*/load_report_time 00:00:02/; s/^loglevel.*/loglevel log_info/" \
        -e "s/flush_time=00:00:15/flush_time=00:00:00/; s#^mailer.*#mailer /bin/true#" \
        "$packages/share/gridengine/default-configuration" | grep . >"$folder/conf/global"
    printf 'min_uid 0\nmin_gid 0\n' >>"$folder/conf/global"
    within "$lib/spoolinit" berkeleydb libspoolb "$folder/spooldb" init >/dev/null
    within "$lib/spooldefaults.bin" configuration "$folder/conf/global" >/dev/null
    within "$lib/spooldefaults.bin" complexes "$packages/share/gridengine/util/resources/centry" >/dev/null
    within "$lib/spooldefaults.bin" usersets "$packages/share/gridengine/util/resources/usersets" >/dev/null
    within "$lib/spooldefaults.bin" managers root >/dev/null
fi
qconf() { within "$lib/qconf" "$@"; }
is_alive "$folder/spool/qmaster/qmaster.pid" || within "$lib/sge_qmaster" >"$folder/conf/qmaster.log" 2>&1 </dev/null
for _ in $(seq 600); do qconf -sss >/dev/null 2>&1 && break; sleep 0.1; done
qconf -sss >/dev/null || fail "sge_qmaster does not answer; see $folder/spool/qmaster/messages and $folder/conf"
rmdir /usr/lib/gridengine 2>/dev/null || true
exec 9>&-

# 3. Queues, and the host as one that runs jobs and submits them ----------------------------------------------------
if ! qconf -sql 2>/dev/null | grep -q '^all\.q$'; then
    qconf -ah "$host" >/dev/null 2>&1 || true
    qconf -as "$host" >/dev/null
    for queue in all.q short.q closed.q; do
        qconf -sq | sed -e "s/^qname .*/qname $queue/; s/^hostlist .*/hostlist $host/; s/^slots .*/slots $slots/" \
            -e 's#^shell .*#shell /bin/bash#; s/^load_thresholds .*/load_thresholds NONE/' \
            -e 's/^notify .*/notify 00:00:05/; s/^pe_list .*/pe_list smp/' >"$folder/conf/$queue"
    done
    sed -i 's/^h_rt .*/h_rt 00:01:00/' "$folder/conf/short.q"
    qconf -Ap "$packages/share/gridengine/util/resources/pe/smp" >/dev/null
    for queue in all.q short.q closed.q; do qconf -Aq "$folder/conf/$queue" >/dev/null; done
    qconf -ssconf | sed 's/^schedule_interval .*/schedule_interval 0:0:1/; s/^load_formula.*/load_formula slots/
        s/^job_load_adjustments .*/job_load_adjustments NONE/; s/^flush_submit_sec .*/flush_submit_sec 1/
        s/^flush_finish_sec .*/flush_finish_sec 1/; s/^schedd_job_info .*/schedd_job_info true/' >"$folder/conf/scheduler"
    qconf -Msconf "$folder/conf/scheduler" >/dev/null
fi
is_alive "$folder/spool/execd/$host/execd.pid" || within "$lib/sge_execd" >"$folder/conf/execd.log" 2>&1 </dev/null
within "$lib/qmod" -d closed.q >/dev/null
for _ in $(seq 900); do
    if within "$lib/qstat" -f -q all.q 2>/dev/null | grep -q "^all\.q.*lx-amd64 *$"; then
        echo "run: . $folder/env.sh"
        exit 0
    fi
    sleep 0.1
done
fail "the host has not come; see $folder/spool"
