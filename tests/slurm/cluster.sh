#!/usr/bin/env bash
# A real SLURM on this one machine: pretended nodes with pretended GPUs, in a partition for each use.
#   tests/slurm/cluster.sh start     (as root, with Debian's slurm-wlm and munge installed)
#   tests/slurm/cluster.sh start accounts      keeps accounts too, for sacct (with slurmdbd and MariaDB's two core packages)
#   tests/slurm/cluster.sh stop      leaves the machine as it found it
# Refuses to touch a SLURM that is configured already.
set -eEuo pipefail

state=/run/relative-stability-slurm # where no one but root may write: what stands there is killed
mark="# made by relative-stability, tests/slurm/cluster.sh"
etc=/etc/slurm
files="slurm.conf gres.conf slurmdbd.conf"
host=$(hostname -s)

refuse() { echo "cluster.sh: $1" >&2; exit 1; }
# Nothing ends this script in silence.
trap 'echo "cluster.sh: line $LINENO failed: $BASH_COMMAND" >&2; tail -n 20 "$state"/log/*.log >&2' ERR

ours() { [ ! -e "$1" ] || grep -qF "$mark" "$1"; }

start() {
  [ "$(id -u)" = 0 ] || refuse "only root can start a cluster here; run it as root"
  for program in slurmctld slurmd munged; do
    command -v "$program" >/dev/null || refuse "$program is missing; install the packages slurm-wlm and munge"
  done
  accounts="AccountingStorageType=accounting_storage/none"
  if [ "${1:-}" = accounts ]; then
    accounts=$'AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageTRES=gres/gpu'
    for program in slurmdbd mariadbd mariadb-install-db my_print_defaults; do
      command -v "$program" >/dev/null ||
        refuse "$program is missing; install the packages slurmdbd, mariadb-server-core and mariadb-client-core"
    done
  fi
  for file in $files; do
    ours "$etc/$file" || refuse "$etc/$file exists and is not ours; this machine has a SLURM of its own, leave it alone"
  done
  stop
  mkdir -p "$etc" "$state"/{spool,log} /run/munge
  [ -e /etc/munge/munge.key ] || refuse "/etc/munge/munge.key is missing; the package munge makes it"

  if ! pgrep -x munged >/dev/null; then
    chown munge: /run/munge
    setpriv --reuid munge --regid munge --clear-groups munged --force
    touch "$state/munged-is-ours"
  fi
  # A GPU is a device node of its own; any node will do.
  for gpu in $(seq 0 17); do
    [ -e "$state/gpu$gpu" ] || mknod "$state/gpu$gpu" c 1 3
  done
  cat > "$etc/slurm.conf" <<CONF
$mark
ClusterName=relative-stability
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
$accounts
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation=$state/spool/controller
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.%n.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/slurmd.%n.log
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=8 RealMemory=32000 Gres=gpu:4
NodeName=node[3-7] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17003-17007] CPUs=4 RealMemory=16000 Gres=gpu:2
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
PartitionName=quiet Nodes=node[3-4] MaxTime=INFINITE State=UP
PartitionName=unreliable Nodes=node[5-6] MaxTime=INFINITE State=UP
PartitionName=drained Nodes=node7 MaxTime=INFINITE State=UP
CONF
  cat > "$etc/gres.conf" <<CONF
$mark
NodeName=node1 Name=gpu File=$state/gpu[0-3]
NodeName=node2 Name=gpu File=$state/gpu[4-7]
NodeName=node3 Name=gpu File=$state/gpu[8-9]
NodeName=node4 Name=gpu File=$state/gpu[10-11]
NodeName=node5 Name=gpu File=$state/gpu[12-13]
NodeName=node6 Name=gpu File=$state/gpu[14-15]
NodeName=node7 Name=gpu File=$state/gpu[16-17]
CONF
  [ "${1:-}" != accounts ] || keep_accounts
  mkdir -p "$state/spool/controller"
  slurmctld
  for node in node1 node2 node3 node4 node5 node6 node7; do
    mkdir -p "$state/spool/$node"
    slurmd -N $node
  done
  for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = 7 ] && { echo "SLURM runs: 7 nodes"; return; }
    sleep 0.5
  done
  refuse "the nodes did not come up within 30 s; see $state/log"
}

# A database of its own in $state, which listens to this machine alone.
keep_accounts() {
  cat > "$etc/slurmdbd.conf" <<CONF
$mark
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=$host
PidFile=$state/slurmdbd.pid
LogFile=$state/log/slurmdbd.log
CONF
  chmod 600 "$etc/slurmdbd.conf"
  cat > "$state/users.sql" <<SQL
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '$host';
GRANT ALL ON *.* TO slurm@'127.0.0.1';
SQL
  database="--no-defaults --user=root --datadir=$state/database --skip-name-resolve"
  mariadb-install-db $database --auth-root-authentication-method=normal >"$state/log/database.log" 2>&1
  mariadbd $database --bind-address=127.0.0.1 --port=13306 --socket="$state/database.sock" --pid-file="$state/database.pid" \
    --init-file="$state/users.sql" >>"$state/log/database.log" 2>&1 &
  for _ in $(seq 60); do [ -e "$state/database.pid" ] && break; sleep 0.5; done
  slurmdbd
  for _ in $(seq 60); do sacctmgr -n list cluster >/dev/null 2>&1 && return; sleep 0.5; done
  refuse "slurmdbd did not answer within 30 s: $(tail -n 20 "$state"/log/database.log "$state"/log/slurmdbd.log)"
}

stop() {
  if ours "$etc/slurm.conf" && [ -e "$etc/slurm.conf" ]; then
    # Jobs whose daemon is gone would go on.
    if timeout 20 scancel --user=root 2>/dev/null; then
      for _ in $(seq 40); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 0.25; done
    fi
  fi
  for pid in "$state"/*.pid; do
    [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true
  done
  # So would those of a node that was lost.
  for environment in $(grep -lsz '^SLURM_CLUSTER_NAME=relative-stability$' /proc/[0-9]*/environ || true); do
    kill -9 "$(basename "$(dirname "$environment")")" 2>/dev/null || true
  done
  for _ in $(seq 40); do
    alive=0
    for pid in "$state"/*.pid; do [ -e "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null && alive=1; done
    [ $alive = 0 ] && break
    sleep 0.25
  done
  if [ -e "$state/munged-is-ours" ] && pkill -x munged; then
    for _ in $(seq 40); do pgrep -x munged >/dev/null || break; sleep 0.25; done
  fi
  for file in $files; do
    ours "$etc/$file" && rm -f "$etc/$file"
  done
  rm -rf "$state"
}

case "${1:-}" in
  start) start "${2:-}" ;;
  stop) stop ;;
  *) refuse "say start, start accounts or stop" ;;
esac
