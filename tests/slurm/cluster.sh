#!/usr/bin/env bash
# A real SLURM on this one machine: pretended nodes with pretended GPUs, in a partition for each use.
#   tests/slurm/cluster.sh start NAME          (as root, with Debian's slurm-wlm and munge installed)
#   tests/slurm/cluster.sh stop NAME           leaves the machine as it found it
# The clusters `plain`, `alone` and `accounts` may run at once; the last keeps accounts for sacct, with slurmdbd and
# MariaDB's two core packages. Each is reached by SLURM_CONF=/run/relative-stability-slurm/NAME/slurm.conf, with the
# folder of this file first in PATH; a SLURM that this machine has of its own is left alone.
set -eEuo pipefail

house=/run/relative-stability-slurm # where no one but root may write: what stands there is killed
name=${2:-}
state=$house/$name
cluster=relative-stability-$name
export SLURM_CONF=$state/slurm.conf
host=$(hostname -s)

refuse() { echo "cluster.sh: $1" >&2; exit 1; }
# Nothing ends this script in silence.
trap 'echo "cluster.sh: line $LINENO failed: $BASH_COMMAND" >&2; tail -n 20 "$state"/log/*.log >&2' ERR

start() {
  [ "$(id -u)" = 0 ] || refuse "only root can start a cluster here; run it as root"
  for program in slurmctld slurmd munged; do
    command -v "$program" >/dev/null || refuse "$program is missing; install the packages slurm-wlm and munge"
  done
  accounts="AccountingStorageType=accounting_storage/none"
  if [ "$name" = accounts ]; then
    accounts="AccountingStorageType=accounting_storage/slurmdbd
AccountingStoragePort=$((port + 8))
AccountingStorageTRES=gres/gpu"
    for program in slurmdbd mariadbd mariadb-install-db my_print_defaults; do
      command -v "$program" >/dev/null ||
        refuse "$program is missing; install the packages slurmdbd, mariadb-server-core and mariadb-client-core"
    done
  fi
  stop
  mkdir -p "$state"/{spool/controller,log} /run/munge
  [ -e /etc/munge/munge.key ] || refuse "/etc/munge/munge.key is missing; the package munge makes it"

  if ! pgrep -x munged >/dev/null; then
    chown munge: /run/munge
    setpriv --reuid munge --regid munge --clear-groups munged --force
    touch "$house/munged-is-ours"
  fi
  # A GPU is a device node of its own; any node will do.
  for gpu in $(seq 0 17); do
    mknod "$state/gpu$gpu" c 1 3
  done
  cat > "$SLURM_CONF" <<CONF
ClusterName=$cluster
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
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
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=8 RealMemory=32000 Gres=gpu:4
NodeName=node[3-7] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 3))-$((port + 7))] CPUs=4 RealMemory=16000 Gres=gpu:2
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
PartitionName=quiet Nodes=node[3-4] MaxTime=INFINITE State=UP
PartitionName=unreliable Nodes=node[5-6] MaxTime=INFINITE State=UP
PartitionName=drained Nodes=node7 MaxTime=INFINITE State=UP
CONF
  cat > "$state/gres.conf" <<CONF
NodeName=node1 Name=gpu File=$state/gpu[0-3]
NodeName=node2 Name=gpu File=$state/gpu[4-7]
NodeName=node3 Name=gpu File=$state/gpu[8-9]
NodeName=node4 Name=gpu File=$state/gpu[10-11]
NodeName=node5 Name=gpu File=$state/gpu[12-13]
NodeName=node6 Name=gpu File=$state/gpu[14-15]
NodeName=node7 Name=gpu File=$state/gpu[16-17]
CONF
  # In a job, the executor of Snakemake calls srun without most of SLURM's variables.
  printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" > "$state/srun"
  chmod +x "$state/srun"
  [ "$name" != accounts ] || keep_accounts
  slurmctld
  for node in node1 node2 node3 node4 node5 node6 node7; do
    mkdir -p "$state/spool/$node"
    slurmd -N $node
  done
  for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = 7 ] && { echo "SLURM runs: 7 nodes; SLURM_CONF=$SLURM_CONF"; return; }
    sleep 0.5
  done
  refuse "the nodes did not come up within 30 s; see $state/log"
}

# A database of its own in $state, which listens to this machine alone.
keep_accounts() {
  cat > "$state/slurmdbd.conf" <<CONF
AuthType=auth/munge
DbdHost=localhost
DbdPort=$((port + 8))
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 9))
StorageUser=slurm
StoragePass=$host
PidFile=$state/slurmdbd.pid
LogFile=$state/log/slurmdbd.log
CONF
  chmod 600 "$state/slurmdbd.conf"
  cat > "$state/users.sql" <<SQL
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '$host';
GRANT ALL ON *.* TO slurm@'127.0.0.1';
SQL
  database="--no-defaults --user=root --datadir=$state/database --skip-name-resolve"
  mariadb-install-db $database --auth-root-authentication-method=normal >"$state/log/database.log" 2>&1
  mariadbd $database --bind-address=127.0.0.1 --port=$((port + 9)) --socket="$state/database.sock" --pid-file="$state/database.pid" \
    --init-file="$state/users.sql" >>"$state/log/database.log" 2>&1 &
  for _ in $(seq 60); do [ -e "$state/database.pid" ] && break; sleep 0.5; done
  slurmdbd
  for _ in $(seq 60); do sacctmgr -n list cluster >/dev/null 2>&1 && return; sleep 0.5; done
  refuse "slurmdbd did not answer within 30 s: $(tail -n 20 "$state"/log/database.log "$state"/log/slurmdbd.log)"
}

stop() {
  # Jobs whose daemon is gone would go on.
  if [ -e "$SLURM_CONF" ] && timeout 20 scancel --user=root 2>/dev/null; then
    for _ in $(seq 40); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 0.25; done
  fi
  for pid in "$state"/*.pid; do
    [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true
  done
  # So would those of a node that was lost.
  for environment in $(grep -lsz "^SLURM_CLUSTER_NAME=$cluster\$" /proc/[0-9]*/environ || true); do
    kill -9 "$(basename "$(dirname "$environment")")" 2>/dev/null || true
  done
  for _ in $(seq 40); do
    alive=0
    for pid in "$state"/*.pid; do [ -e "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null && alive=1; done
    [ $alive = 0 ] && break
    sleep 0.25
  done
  rm -rf "$state"
  [ -z "$(ls -d "$house"/*/ 2>/dev/null)" ] || return 0 # of another cluster, which needs munged too
  if [ -e "$house/munged-is-ours" ] && pkill -x munged; then
    for _ in $(seq 40); do pgrep -x munged >/dev/null || break; sleep 0.25; done
  fi
  rm -rf "$house"
}

case $name in
  plain) port=17000 ;;
  alone) port=17100 ;;
  accounts) port=17200 ;;
  *) refuse "say start or stop, and plain, alone or accounts" ;;
esac
case $1 in
  start | stop) $1 ;;
  *) refuse "say start or stop" ;;
esac
