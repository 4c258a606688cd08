# shellcheck shell=bash
# A Slurm of two nodes on this machine, in a folder of its own, on loopback ports of its own, without systemd and cgroups.
# To be sourced. Needs root (slurmd starts jobs) and: scripts/bootstrap deploy
#
#   cluster_start FOLDER     munged, slurmctld, slurmd n1, slurmd n2; sets SLURM_CONF
#   cluster_stop             cancels all jobs and ends the four; what they logged stays in FOLDER

cluster_pids=()

cluster_programs() {
  local program missing=()
  for program in munged slurmctld slurmd sbatch scontrol squeue scancel sinfo; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} -eq 0 ] || { echo "missing: ${missing[*]}: run scripts/bootstrap deploy" >&2; return 77; }
  [ "$(id -u)" = 0 ] || { echo "slurmd needs root here" >&2; return 77; }
}

# N different free ports, one per line.
free_ports() {
  python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in held:
    one.bind(("127.0.0.1", 0))
    print(one.getsockname()[1])
PYTHON
}

cluster_start() {
  local folder=$1 host ports name
  host=$(hostname)
  mkdir -p "$folder"/{munge,spool,state,log}
  chmod 755 "$folder" "$folder/munge"
  (umask 077 && dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none)
  mapfile -t ports < <(free_ports 3)
  cat >"$folder/slurm.conf" <<CONF
ClusterName=strata
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=10
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
Epilog=/bin/true
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
KillWait=30
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=4 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=4 State=UNKNOWN
PartitionName=trial Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$folder/slurm.conf
  munged --foreground --force --key-file "$folder/munge/key" --socket "$folder/munge/socket" --pid-file "$folder/munge/pid" \
    --log-file "$folder/log/munged" --seed-file "$folder/munge/seed" --num-threads 2 >"$folder/log/munged.out" 2>&1 &
  cluster_pids+=($!)
  for _ in $(seq 100); do [ -S "$folder/munge/socket" ] && break; sleep 0.1; done
  slurmctld -D >"$folder/log/slurmctld.out" 2>&1 &
  cluster_pids+=($!)
  for name in n1 n2; do
    slurmd -D -N "$name" >"$folder/log/slurmd.$name.out" 2>&1 &
    cluster_pids+=($!)
  done
  for _ in $(seq 60); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && return 0
    sleep 1
  done
  echo "the nodes did not come up in 60 s; logs in $folder/log" >&2
  tail -n 5 "$folder"/log/* >&2
  return 1
}

cluster_stop() {
  [ ${#cluster_pids[@]} -gt 0 ] || return 0
  scancel --user="$(id -un)"
  for _ in $(seq 60); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 1; done
  local i
  for ((i = ${#cluster_pids[@]} - 1; i >= 0; --i)); do kill "${cluster_pids[i]}" 2>/dev/null; done
  for ((i = 0; i < ${#cluster_pids[@]}; ++i)); do wait "${cluster_pids[i]}" 2>/dev/null; done
  cluster_pids=()
}
