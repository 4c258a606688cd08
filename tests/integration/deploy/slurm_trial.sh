#!/usr/bin/env bash
# deploy/slurm tried on a real Slurm of two nodes, made here for the purpose and taken down again. About five minutes; as root.
#
#   tests/integration/deploy/slurm_trial.sh [FOLDER WITH THE PROGRAMS]      (default: build/ci/bin)
#
# A coordinator and two workers are submitted as job scripts. sweeps/smoke.yaml runs. Then a longer sweep, during which
#   one worker reaches its time limit        it ends as COMPLETED, before the limit, and says goodbye
#   the other one is requeued by scontrol    it comes back in a second life
#   the coordinator is requeued by scontrol  it goes on from the mirror of its store, and the workers find it again
#   the coordinator gets what it gets at its time limit: it ends cleanly and queues itself again
# and at the end every task has succeeded (so the worker found the coordinator each time), no attempt failed or was lost, what could be resumed was resumed, a second
# coordinator was refused, and no process and no live state is left. STRATA_KEEP=1 leaves the folder.
# Exit code 77: Slurm is not installed, or not root.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
bin=$(cd "${1:-$root/build/ci/bin}" && pwd)
PATH=$bin:$PATH:/usr/sbin:/sbin
# shellcheck source=tests/integration/deploy/slurm_cluster.sh
. "$root/tests/integration/deploy/slurm_cluster.sh"
cluster_programs
for program in strata strata-coordinator strata-worker; do
  [ -x "$bin/$program" ] || { echo "no $program in $bin: build first" >&2; exit 2; }
done

start=$SECONDS
patience=600  # for the whole trial, in seconds
folder=$(mktemp -d "${TMPDIR:-/tmp}/strata-slurm-trial.XXXXXX")
say() { printf '[%3d s] %s\n' $((SECONDS - start)) "$*"; }
fail() {
  say "FAILED: $*" >&2
  for log in "$folder"/*.log "$folder"/cluster/log/slurmctld; do
    printf -- '--- %s\n' "$log" >&2
    tail -n 30 "$log" >&2 || true
  done
  exit 1
}
ended=0
clean_up() {
  local status=$?
  set +e
  [ "$ended" = 1 ] || cluster_stop
  if [ "$status" -eq 0 ] && [ "${STRATA_KEEP:-0}" != 1 ]; then rm -rf "$folder"; else say "everything lies in $folder"; fi
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
  local what=$1
  shift
  until "$@" >/dev/null 2>&1; do
    [ $((SECONDS - start)) -lt "$patience" ] || fail "$what: not within $patience s"
    sleep 1
  done
  say "$what"
}
state_of() { scontrol show job "$1" | grep -o 'JobState=[A-Z_]*' | cut -d= -f2; }
in_state() { [ "$(state_of "$1")" = "$2" ]; }
restarted() { scontrol show job "$1" | grep -q "Restarts=$2 " && in_state "$1" RUNNING; }
field() { python3 -c 'import json, sys; value = json.load(sys.stdin)
for name in sys.argv[1:]: value = value.get(name, 0)
print(value)' "$@"; }
tasks_in() { strata --json watch --once slurm-trial | field tasks "$1"; }
at_least() { [ "$(tasks_in "$2")" -ge "$1" ]; }
workers_are() { [ "$(strata --json status | field workers)" -eq "$1" ]; }
slots_free_are() { [ "$(strata --json status | field slots_free)" -eq "$1" ]; }
answers() { strata --json status; }

cluster_start "$folder/cluster" || fail "Slurm did not start"
say "Slurm $(sinfo --version | cut -d' ' -f2) runs on two nodes"
export STRATA_SHARED=$folder/shared STRATA_CHECKOUT=$root STRATA_BIN=$bin STRATA_LOCAL=$folder/local
export STRATA_COORDINATOR=$STRATA_SHARED/coordinator.json
mkdir -p "$STRATA_LOCAL"
cd "$folder"

export STRATA_ADVERTISE=127.0.0.1 STRATA_METRICS=0.0.0.0:0 STRATA_COPY_EVERY=5
coordinator=$(sbatch --parsable --cpus-per-task=2 --time=30 --output=coordinator.log "$root/deploy/slurm/coordinator.sbatch")
# Time limits are whole minutes: told a minute before the end of two.
limited=$(sbatch --parsable --cpus-per-task=2 --time=2 --signal=B:TERM@60 --output=limited.log "$root/deploy/slurm/worker.sbatch")
requeued=$(sbatch --parsable --cpus-per-task=2 --time=30 --output=requeued.log "$root/deploy/slurm/worker.sbatch")
wait_for "the coordinator answers" answers
[ "$(stat -c %a "$STRATA_COORDINATOR")" = 600 ] || fail "coordinator.json may be read by others"
wait_for "both workers are there" workers_are 2

strata submit "$root/sweeps/smoke.yaml" --wait >smoke.txt || fail "smoke.yaml: $(tail -n 3 smoke.txt)"
strata table smoke >>smoke.txt || fail "the table of smoke.yaml"
say "smoke.yaml has run; its table is in smoke.txt"

strata submit "$root/tests/integration/deploy/slurm_sweep.yaml" >/dev/null
wait_for "the long sweep keeps all four slots busy" slots_free_are 0
wait_for "the first worker has ended at its time limit" in_state "$limited" COMPLETED
grep -q "said goodbye\|ended" limited.log || fail "the worker said nothing at its time limit"
[ "$(strata --json status | field workers)" -eq 1 ] || fail "the worker that ended is still counted"

scontrol requeue "$requeued"
wait_for "the second worker runs again after scontrol requeue" restarted "$requeued" 1
wait_for "and is back" workers_are 1

other=$(sbatch --parsable --cpus-per-task=2 --time=30 --output=other.log "$root/deploy/slurm/coordinator.sbatch")
wait_for "a second coordinator for the same folder was refused" in_state "$other" FAILED
answers >/dev/null || fail "the second coordinator disturbed the first"

wait_for "three tasks have succeeded" at_least 3 succeeded
scontrol requeue "$coordinator"
wait_for "the coordinator runs again after scontrol requeue" restarted "$coordinator" 1
wait_for "and answers" answers
wait_for "and knows its worker" workers_are 1
at_least 3 succeeded || fail "the coordinator forgot what had succeeded"

scancel --batch --signal=TERM "$coordinator"
wait_for "the coordinator queued itself again, as at its time limit" restarted "$coordinator" 2
wait_for "and answers" answers
wait_for "every task of the long sweep has succeeded" at_least 15 succeeded

python3 "$root/tests/integration/deploy/check_slurm_attempts.py" slurm-trial count,gang >attempts.txt 2>attempts.log ||
  fail "the attempts are not as they should be"
say "$(cat attempts.txt)"

scancel "$coordinator" "$requeued"
wait_for "the coordinator was cancelled" in_state "$coordinator" CANCELLED
wait_for "and the mirror of its store is marked as whole" grep -q '"clean": true' "$STRATA_SHARED/mirror/mirror.json"
[ ! -e "$STRATA_COORDINATOR" ] || fail "coordinator.json was left behind"
[ -z "$(ls "$STRATA_LOCAL")" ] || fail "a store was left on the node"
timeout -s TERM 10 strata-coordinator --store "$folder/restored" --restore "$STRATA_SHARED/mirror" >restore.log 2>&1 || true
strata-coordinator fsck --store "$folder/restored" >fsck.log || fail "what comes back from the mirror is not sound"
cluster_stop || true  # what it cancels may be gone already
ended=1
left=$(pgrep -af -- "${folder%?}[${folder: -1}]" || true)
[ -z "$left" ] || fail "processes are left: $left"
say "all as it should be"
