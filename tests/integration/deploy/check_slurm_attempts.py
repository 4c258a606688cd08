"""Reads, by the `strata` command, every attempt of a sweep, and fails unless all tasks succeeded, no attempt failed or was
lost, at least one was stopped, and what was stopped and could be resumed was resumed. Used by slurm_trial.sh.

    check_slurm_attempts.py SWEEP RESUMABLE_STAGE[,RESUMABLE_STAGE]
"""

import collections
import json
import subprocess
import sys


def strata(*words):
    return subprocess.run(["strata", *words], check=True, capture_output=True, text=True).stdout


def main(sweep, resumable):
    wrong = []
    outcomes = collections.Counter()
    resumed = stopped_resumable = 0
    runs = json.loads(strata("--json", "query", f"sweep = {sweep}"))["runs"]
    tasks = {stage["task"]: name for run in runs for name, stage in run["stages"].items()}
    for task, stage in tasks.items():
        shown = json.loads(strata("--json", "show", task))
        attempts = shown["attempts"]
        for attempt in attempts:
            outcomes[attempt["outcome"]] += 1
            if attempt["outcome"] not in ("succeeded", "stopped"):
                wrong.append(f"{stage} {task[:8]} attempt {attempt['attempt']}: {attempt['outcome']}: {attempt['reason']}")
        if attempts[-1]["outcome"] != "succeeded":
            wrong.append(f"{stage} {task[:8]} ended as {attempts[-1]['outcome']}")
        if stage in resumable.split(",") and len(attempts) > 1:
            stopped_resumable += 1
            resumed += "resumed at step" in strata("logs", task)
    if not tasks:
        wrong.append(f"the sweep {sweep} has no tasks")
    if outcomes["stopped"] == 0:
        wrong.append("no attempt was stopped: the trial tried nothing")
    if resumed == 0 or resumed != stopped_resumable:
        wrong.append(f"{stopped_resumable} resumable tasks were stopped, {resumed} of them were resumed")
    print(f"{len(tasks)} tasks, attempts: {dict(outcomes)}, {resumed} resumed from a checkpoint")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
