"""A stage for tests that keeps docs/stages.md and whose result shows whether it was resumed rightly: a chain of hashes,
one link for each step. Under mpirun rank 0 works and the other ranks wait for it. Each process of it leaves another one
behind in a session of its own, which whoever runs stages has to end."""

import hashlib
import json
import os
import pathlib
import signal
import sys
import time

spec = json.load(open(sys.argv[1]))
parameters = spec["parameters"]
steps = parameters["steps"]
# The environment is in no key: the same task runs at another pace.
pause = float(os.environ.get("STRATA_TEST_PAUSE", parameters["pause"]))
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
pathlib.Path(f"pid.{rank}").write_text(f"{os.getpid()}\n")
if os.fork() == 0:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)  # mpirun waits for whoever holds its pipes
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.execvp("sleep", ["sleep", "300"])
asked_to_stop = False


def on_stop(*_):
    global asked_to_stop
    asked_to_stop = True


signal.signal(signal.SIGTERM, on_stop)

if rank != 0:
    while not pathlib.Path("done").exists():
        if asked_to_stop:
            sys.exit(4)
        time.sleep(0.02)
    sys.exit(0)

step, state = 0, ""
for name, path in sorted(spec["inputs"].items()):
    state += f"{name}={pathlib.Path(path).read_text()};"
if spec["resume"]:
    saved = json.loads((pathlib.Path(spec["resume"]) / "state.json").read_text())
    step, state = saved["step"], saved["state"]
    print(f"resumed at step {step}", flush=True)

with open("progress.jsonl", "a") as progress:

    def save():
        folder = pathlib.Path(f"checkpoints/{step:08d}")
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps({"step": step, "state": state}))
        progress.write(json.dumps({"step": step, "checkpoint": str(folder)}) + "\n")
        progress.flush()

    while step < steps:
        step += 1
        state = hashlib.sha256(f"{state}{step}{parameters.get('salt', '')}".encode()).hexdigest()
        metrics = {"value": step * 0.5}
        if "loss" in parameters:
            metrics["loss"] = parameters["loss"] + 1 / step
        progress.write(json.dumps({"step": step, "total": steps, "metrics": metrics}) + "\n")
        progress.flush()
        if step % 5 == 0 or asked_to_stop:
            save()
        if asked_to_stop:
            sys.exit(4)
        time.sleep(pause)

pathlib.Path(spec["outputs"]["result"]).write_text(state + "\n")
pathlib.Path("scores.json").write_text(json.dumps({"scores": [{"name": "steps", "value": step, "unit": "steps", "count": 1}]}))
pathlib.Path("done").write_text("")
