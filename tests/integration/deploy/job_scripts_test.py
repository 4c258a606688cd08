"""The job scripts of deploy/slurm run as Slurm would run them, with the real programs and a scontrol that only writes down
what it was asked. (slurm_trial.sh is the same on a real Slurm.)

    job_scripts_test.py FOLDER_WITH_THE_PROGRAMS
"""

import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAMS = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ROOT / "build/ci/bin").resolve()
PATIENCE_SECONDS = 60.0
SCONTROL = """#!/bin/sh
echo "$@" >> "{folder}/scontrol.log"
[ "$1" = show ] && cat "{folder}/job_state"
exit 0
"""
SQUEUE = """#!/bin/sh
date --date @{end} +%Y-%m-%dT%H:%M:%S
"""


class JobScript(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="strata-job-scripts.")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.shared, self.local = self.folder / "shared", self.folder / "local"
        self.local.mkdir()
        scontrol = self.folder / "fake/scontrol"
        scontrol.parent.mkdir()
        scontrol.write_text(SCONTROL.format(folder=self.folder), encoding="utf-8")
        scontrol.chmod(0o755)
        squeue = self.folder / "fake/squeue"
        squeue.write_text(SQUEUE.format(end=int(time.time()) + 3 * 3600), encoding="utf-8")
        squeue.chmod(0o755)
        self.job_state("RUNNING")
        self.address_file = self.shared / "coordinator.json"
        self.logs = 0

    def job_state(self, state):
        (self.folder / "job_state").write_text(f"JobId=7 JobState={state} Reason=None\n", encoding="utf-8")

    def start(self, script, life=0, **more):
        """The script as the first process of a job; it is gone at the end of the test whatever happens."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "STRATA_"))}
        environment = kept | {
            "PATH": f"{self.folder}/fake:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(life),
            "SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_PARTITION": "trial", "SLURM_CPUS_PER_TASK": "3", "STRATA_BIN": str(PROGRAMS),
            "STRATA_SHARED": str(self.shared), "STRATA_LOCAL": str(self.local), "STRATA_ADVERTISE": "127.0.0.1"} | more
        self.logs += 1
        log = open(self.folder / f"{self.logs}-{script}.log", "wb")
        process = subprocess.Popen(["bash", ROOT / "deploy/slurm" / script], env=environment, cwd=self.folder, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        process.log = pathlib.Path(log.name)
        log.close()
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def until(self, what, condition):
        limit = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < limit:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        logs = "\n".join(f"--- {path.name}\n{path.read_text(encoding='utf-8')}" for path in sorted(self.folder.glob("*.log")))
        return self.fail(f"{what}: not in {PATIENCE_SECONDS:.0f} s\n{logs}")

    def strata(self, *words):
        done = subprocess.run([PROGRAMS / "strata", "--json", "--coordinator", self.address_file, *words], capture_output=True,
                              text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def start_coordinator(self, life=0, **more):
        process = self.start("coordinator.sbatch", life, **more)
        self.until("the coordinator answers", lambda: self.strata("status"))
        return process

    def ended(self, process):
        return process.wait(timeout=PATIENCE_SECONDS), process.log.read_text(encoding="utf-8")

    def coordinator_id(self):
        return self.strata("status")["coordinator"]

    @property
    def mirror_file(self):
        return self.shared / "mirror/mirror.json"

    def mirror(self):
        return json.loads(self.mirror_file.read_text(encoding="utf-8"))

    def move_to_another_node(self, silent_seconds):
        """As if the coordinator that kept the mirror had run on node-9, whose disk nobody here sees."""
        shutil.rmtree(self.local)
        self.local.mkdir()
        state = self.mirror()
        state["keeper"]["host"] = "node-9"
        self.mirror_file.write_text(json.dumps(state), encoding="utf-8")
        then = time.time() - silent_seconds
        os.utime(self.mirror_file, (then, then))

    def scontrol_log(self):
        log = self.folder / "scontrol.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def test_at_its_time_limit_the_coordinator_queues_itself_again_and_its_next_life_goes_on(self):
        job = self.start_coordinator(STRATA_METRICS="127.0.0.1:0")
        self.assertEqual(stat.S_IMODE(self.address_file.stat().st_mode), 0o600)
        targets = self.shared / "prometheus_targets.json"
        self.until("Prometheus' targets are written", targets.exists)
        self.assertEqual(json.loads(targets.read_text(encoding="utf-8"))[0]["targets"],
                         [json.loads(self.address_file.read_text(encoding="utf-8"))["metrics_address"]])
        before = self.coordinator_id()
        job.send_signal(signal.SIGTERM)  # to the batch shell alone: --signal=B:TERM
        status, log = self.ended(job)
        self.assertEqual(status, 0, log)
        self.assertEqual(self.scontrol_log()[-1], "requeue 7")
        self.assertIs(self.mirror()["clean"], True)
        self.assertFalse(self.address_file.exists())
        self.assertEqual(list(self.local.iterdir()), [], "its store on the node is gone: the mirror has it")
        self.start_coordinator(life=1)
        self.assertEqual(self.coordinator_id(), before)

    def test_a_coordinator_that_is_cancelled_ends_cleanly_and_is_not_queued_again(self):
        job = self.start_coordinator()
        self.job_state("CANCELLED")
        os.killpg(job.pid, signal.SIGTERM)  # scancel signals every process of the job
        status, log = self.ended(job)
        self.assertEqual(status, 0, log)
        self.assertIs(self.mirror()["clean"], True)
        self.assertEqual(self.scontrol_log(), ["show job 7"])

    def test_when_the_node_is_dead_the_next_life_goes_on_from_the_mirror_and_not_before(self):
        job = self.start_coordinator(STRATA_MIRROR_EVERY="0.2")
        before = self.coordinator_id()
        self.end(job)  # the node has lost power
        self.assertIs(self.mirror()["clean"], False)
        self.move_to_another_node(silent_seconds=0)
        status, log = self.ended(self.start("coordinator.sbatch", 1))
        self.assertNotEqual(status, 0)
        self.assertIn("node-9", log)
        self.move_to_another_node(silent_seconds=60)
        job = self.start_coordinator(2)
        self.assertEqual(self.coordinator_id(), before)
        self.assertIn("what was acknowledged after them is lost", job.log.read_text(encoding="utf-8"))

    def test_on_the_node_where_it_died_the_coordinator_takes_up_its_own_store(self):
        job = self.start_coordinator(STRATA_MIRROR_EVERY="1000")
        before = self.coordinator_id()
        self.end(job)
        job = self.start_coordinator(1)
        self.assertEqual(self.coordinator_id(), before)
        self.assertNotIn("restored", job.log.read_text(encoding="utf-8"))

    def test_a_worker_offers_what_slurm_gave_and_says_goodbye_when_told(self):
        job = self.start("worker.sbatch", STRATA_LABELS="big quick")
        self.start_coordinator()  # after the worker, which waits for the address
        worker = self.until("the worker is there", lambda: self.strata("workers")["workers"])[0]
        self.assertEqual(worker["slots"], 3)
        self.assertLessEqual({"slurm", "partition:trial", "big", "quick"}, set(worker["labels"]))
        os.kill(job.pid, signal.SIGTERM)
        status, log = self.ended(job)
        self.assertEqual(status, 0, log)
        self.assertEqual(self.strata("workers")["workers"], [])
        self.assertRegex(log, r"MiB, for 1(79|80) min", "the end that squeue knows")

    def test_a_worker_knows_what_slurm_says_of_its_end_and_its_memory(self):
        self.start_coordinator()
        job = self.start("worker.sbatch", SLURM_JOB_END_TIME=str(int(time.time()) + 3605), SLURM_MEM_PER_NODE="777")
        self.until("the worker is there", lambda: self.strata("workers")["workers"])
        os.kill(job.pid, signal.SIGTERM)
        self.assertRegex(self.ended(job)[1], "777 MiB, for 60 min")

    def test_a_worker_whose_coordinator_does_not_come_gives_the_node_back_and_says_why(self):
        status, log = self.ended(self.start("worker.sbatch", STRATA_WAIT="1"))
        self.assertEqual(status, 1)
        self.assertIn(str(self.address_file), log)

    def test_outside_of_a_job_the_scripts_say_how_they_are_started(self):
        for script in ("coordinator.sbatch", "worker.sbatch"):
            status, log = self.ended(self.start(script, SLURM_JOB_ID=""))
            self.assertEqual(status, 1)
            self.assertIn("submit it with sbatch", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
