"""A real coordinator whose disk fills up while it works: a small ext4 of its own, mounted for the purpose; as root, about a minute.

    python3 -B tests/integration/full_disk_trial.py FOLDER_WITH_THE_PROGRAMS

Two gangs run for a while and many short tasks wait. The disk is filled until commits fail. Then
  dispatch is paused, and `strata status` says why
  the gangs go on: their steps grow, and nothing of them is stopped
  a submission is not acknowledged
  a coordinator that is killed and started again while the disk is full says what is the matter, or starts
When there is space again everything ends: every task that was ever acknowledged is there and has succeeded, no attempt was
charged, and the store is sound. Exit code 77: a disk cannot be mounted here.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DISK_MIB = 24
PATIENCE = 120  # seconds, for each thing that has to come true
STEPS, PAUSE = 300, 0.1  # of the gangs
SHORT = 40

start = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - start:5.1f} s] {text}", flush=True)


def need(holds, what):
    if not holds:
        raise SystemExit(f"full disk: FAILED: {what}")


def eventually(what, holds):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        value = holds()
        if value:
            return value
        time.sleep(0.1)
    raise SystemExit(f"full disk: FAILED: {what} did not come true in {PATIENCE} s")


def sweep(name, count, steps, pause):
    """A sweep file of `count` runs of the counting stage."""
    return f"""sweep: {name}
base: {{steps: {steps}, pause: {pause}}}
axes:
  salt: [{", ".join(f"{name}-{i}" for i in range(count))}]
stages:
  count:
    program: counting stage
    command: [python3, {ROOT}/tests/support/counting_stage.py]
    reads: [steps, pause, salt]
    outputs: [result]
    resumable: true
"""


class Trial:
    def __init__(self, bin_folder, folder):
        self.bin, self.folder, self.disk = bin_folder, folder, folder / "disk"
        self.store = self.disk / "store"
        self.processes = {}
        self.acknowledged = []

    def mount(self):
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(DISK_MIB << 20)
        self.disk.mkdir()
        for command in (["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(self.disk)]):
            if shutil.which(command[0]) is None or subprocess.run(command, check=False).returncode != 0:
                print("full disk: no disk can be mounted here", file=sys.stderr)
                sys.exit(77)

    def spawn(self, name, *argv):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen([self.bin / argv[0], *argv[1:]], stdout=log, stderr=log)

    def coordinator(self):
        self.spawn("coordinator", "strata-coordinator", "--store", self.store, "--artifacts", self.folder / "artifacts")

    def strata(self, *words, patience=60):
        command = [self.bin / "strata", *words, "--json", "--coordinator", self.store / "coordinator.json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            return None
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None

    def dispatch(self):
        return (self.strata("status") or {}).get("dispatch", "")

    def submit(self, name, count, steps=3, pause=0.01, patience=60):
        file = self.folder / f"{name}.yaml"
        file.write_text(sweep(name, count, steps, pause))
        done = self.strata("submit", str(file), patience=patience)
        if done is not None:
            self.acknowledged.append(name)
        return done is not None

    def gang_steps(self):
        """Of the attempts that run now: the last step that each program wrote."""
        steps = {}
        for file in (self.folder / "worker").rglob("progress.jsonl"):
            lines = file.read_text().splitlines()
            last = json.loads(lines[-1]) if lines else {}
            if last.get("total") == STEPS or len(lines) > 10:
                steps[file.parent] = last.get("step", 0)
        return steps

    def fill(self):
        """Until not a block is free, again and again: what is freed meanwhile is taken, too."""
        filler = os.open(self.disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    os.write(filler, b"x" * size)
            except OSError:
                pass
        os.close(filler)

    def states(self, name):
        for entry in (self.strata("list") or {}).get("sweeps", []):
            if entry["sweep"] == name:
                return entry["tasks"]
        return {}

    def run(self):
        self.mount()
        self.coordinator()
        eventually("the coordinator answers", lambda: self.dispatch() == "running")
        self.spawn("worker", "strata-worker", "--coordinator", self.store / "coordinator.json", "--folder",
                   self.folder / "worker", "--slots", "3", "--no-gpus", "--name", "w")
        need(self.submit("gangs", 2, STEPS, PAUSE), "the gangs are submitted")
        eventually("the gangs run", lambda: len([s for s in self.gang_steps().values() if s > 5]) == 2)
        need(self.submit("short", SHORT, 5, 0.2), "short tasks are submitted")
        say("two gangs run, short tasks come and go; the disk is filled")
        eventually("dispatch is paused", lambda: self.fill() or self.dispatch().startswith("paused"))
        reason = self.dispatch()
        say(f"dispatch: {reason}")
        need("full" in reason or "disk" in reason, "the reason names the disk")
        before = self.gang_steps()
        need(not self.submit("late", 1, patience=5), "a submission is not acknowledged while the disk is full")
        time.sleep(2)
        after = self.gang_steps()
        need(before and all(after[gang] > step for gang, step in before.items() if step < STEPS), "the gangs go on")
        say(f"gangs went on: {sorted(before.values())} -> {sorted(after[g] for g in before)} steps")

        self.processes["coordinator"].send_signal(signal.SIGKILL)
        self.processes["coordinator"].wait()
        self.fill()
        log = self.folder / "coordinator.log"
        before = log.read_text().count(" listens on ")
        self.coordinator()
        ended = eventually(
            "the coordinator starts or ends",
            lambda: self.processes["coordinator"].poll() or ("up" if log.read_text().count(" listens on ") > before else None))
        ended = None if ended == "up" else ended
        said = log.read_text().splitlines()[-1]
        say(f"started again on the full disk: {'runs' if ended is None else f'ends with {ended}'}: {said}")
        need(ended in (None, 1), "a start on a full disk ends in good order")
        need(ended is None or "disk" in said or "full" in said or "space" in said, "and names the disk")

        (self.disk / "filler").unlink()
        if ended is not None:
            self.coordinator()
        eventually("dispatch goes on", lambda: self.dispatch() == "running")
        say("there is space again: dispatch goes on")
        for name, count in (("gangs", 2), ("short", SHORT)):
            eventually(f"{name} ends", lambda n=name, c=count: self.states(n).get("succeeded") == c)
        need(self.submit("late", 1), "what was not acknowledged can be submitted again")
        eventually("late ends", lambda: self.states("late").get("succeeded") == 1)
        names = {entry["sweep"] for entry in self.strata("list")["sweeps"]}
        need(set(self.acknowledged) <= names, "every acknowledged sweep is there")
        self.processes["coordinator"].send_signal(signal.SIGTERM)
        need(self.processes["coordinator"].wait(PATIENCE) == 0, "the coordinator ends in good order")
        checked = subprocess.run([self.bin / "strata-coordinator", "fsck", "--store", self.store], check=False)
        need(checked.returncode == 0, "the store is sound")
        say("everything has ended, nothing acknowledged is lost")

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        subprocess.run(["umount", "-q", str(self.disk)], check=False)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("full disk: needs root, to mount a disk of its own", file=sys.stderr)
        return 77
    folder = pathlib.Path(tempfile.mkdtemp(prefix="strata-full-disk-"))
    trial = Trial(pathlib.Path(sys.argv[1]).resolve(), folder)
    try:
        trial.run()
    finally:
        trial.end()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
