#!/usr/bin/env python3
"""MLflow beside strata-bench-server ingest and strata-bench-search: the same points and the same
questions through its own client interface, with SQLite as its store.

  python3 -m venv VENV && VENV/bin/pip install mlflow==3.17.2
  tests/bench/peers/mlflow.py VENV ingest [--clients N] [--seconds S]
  tests/bench/peers/mlflow.py VENV search [--runs N] [--questions N]

Ingest is measured in three ways: one client with batches of 10 points, as ours; one with batches of
1,000, the most that it allows, which suits it best; and as many clients as ours, which wait for one
another's lock on the file, some of them in vain. Search: its 10,000 runs are written into its
tables directly, because its client needs 20 minutes for them; they are asked for by
mlflow.search_runs and averaged by pandas, as its documentation does.
"""
import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time

RUN_BATCH = 1_000


def relaunch(venv):
    """In the venv's own interpreter; exits with 3 where there is none."""
    python = os.path.join(os.path.abspath(venv), "bin", "python")
    if not os.path.exists(python):
        print(f"mlflow: no {python}: make it with python3 -m venv {venv}; "
              f"{venv}/bin/pip install mlflow==3.17.2")
        sys.exit(3)
    if os.path.abspath(sys.prefix) != os.path.abspath(venv) or not sys.flags.safe_path:
        # -P: this file's folder is no place to import from, for it is called as what it imports.
        os.execv(python, [python, "-P", *sys.argv])


def percentile(values, share):
    values = sorted(values)
    return values[int(share * (len(values) - 1))] if values else float("nan")


def print_latencies(what, ms):
    print(f"{what}, ms: p50 {percentile(ms, 0.5):.2f}, p95 {percentile(ms, 0.95):.2f}, "
          f"p99 {percentile(ms, 0.99):.2f}, longest {max(ms):.2f}")


def open_store(folder):
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.create_experiment("bench", artifact_location=f"{folder}/artifacts")
    return mlflow, mlflow.MlflowClient(), experiment


def ingest(folder, clients, seconds):
    from mlflow.entities import Metric

    _, client, experiment = open_store(folder)
    for threads, batch in ((1, 10), (1, 1_000), (clients, 10)):
        runs = [client.create_run(experiment).info.run_id for _ in range(threads)]
        sent = [0] * threads
        failed = [0] * threads
        ms = [[] for _ in range(threads)]
        until = time.monotonic() + seconds

        def work(i):
            while time.monotonic() < until:
                first = sent[i]
                metrics = [Metric("loss", (i + 1) / (first + k + 1), 1_700_000_000_000, first + k)
                           for k in range(batch)]
                began = time.monotonic()
                try:
                    client.log_batch(runs[i], metrics=metrics)
                except Exception:  # SQLite's lock, after its patience
                    failed[i] += 1
                    continue
                ms[i].append(1e3 * (time.monotonic() - began))
                sent[i] += batch

        began = time.monotonic()
        workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        took = time.monotonic() - began
        what = f"{threads} clients, batches of {batch}"
        print(f"points a second, {what}   {sum(sent) / took:.0f}")
        print_latencies(f"acknowledgement, {what}", sum(ms, []) or [float("nan")])
        wrong = 0
        for i, run in enumerate(runs):
            history = client.get_metric_history(run, "loss")
            values = {m.step: m.value for m in history}
            expected = {step: (i + 1) / (step + 1) for step in range(sent[i])}
            # A batch that failed may be there all the same.
            wrong += not expected.items() <= values.items()
            wrong += not failed[i] and len(history) != sent[i]
        print(f"read back             {sum(sent)} points, {wrong} series wrong; "
              f"{sum(failed)} batches failed")


def cell_of(run):
    """As strata-bench-search makes them."""
    seed, run = run % 5 + 1, run // 5
    text, run = run % 10, run // 10
    speech, run = run % 10, run // 10
    rate, depth = run % 5, run // 5
    return seed, text, speech, rate, depth


def wer_of(run):
    _, text, speech, rate, _ = cell_of(run)
    noise = random.Random(run).randrange(1_000)
    return 0.02 + 0.01 * abs(text - 4) + 0.005 * abs(speech - 6) + 0.02 * rate + 1e-5 * noise


def write_runs(mlflow, experiment, count):
    """Runs of as many parameters, scores and points as ours have."""
    from mlflow.store.tracking.dbmodels import models
    from mlflow.tracking._tracking_service.utils import _get_store
    from sqlalchemy import insert

    now = 1_700_000_000_000
    for begin in range(0, count, RUN_BATCH):
        runs, params, metrics, latest = [], [], [], []
        for i in range(begin, min(begin + RUN_BATCH, count)):
            seed, text, speech, rate, depth = cell_of(i)
            uuid = f"{i:032x}"
            runs.append({"run_uuid": uuid, "name": f"run-{i}", "source_type": "LOCAL",
                         "user_id": "bench", "status": "FINISHED", "start_time": now + i,
                         "end_time": now + i + 1, "lifecycle_stage": "active",
                         "experiment_id": int(experiment), "artifact_uri": f"file:///{uuid}"})
            values = {"align.text.layer": text, "align.speech.layer": speech,
                      "train.lr": 7.5e-5 * (rate + 1), "model.depth": 18 + 2 * depth, "seed": seed}
            values |= {f"other.{k}": k for k in range(26)}
            params += [{"key": k, "value": str(v), "run_uuid": uuid} for k, v in values.items()]
            wer = wer_of(i)
            scores = {"wer": wer, "sim": 0.7 - wer, "utmos": 4 - 3 * wer}
            points = [(k, v, 0) for k, v in scores.items()]
            points += [("loss", wer + 1 / k, 40_000 * k) for k in range(1, 6)]
            points += [("grad_norm", 0.5, 40_000 * k) for k in range(1, 6)]
            rows = [{"key": k, "value": v, "timestamp": now, "step": step, "is_nan": False,
                     "run_uuid": uuid} for k, v, step in points]
            metrics += rows
            latest += list({row["key"]: row for row in rows}.values())
        with _get_store().ManagedSessionMaker() as session:
            session.execute(insert(models.SqlRun), runs)
            session.execute(insert(models.SqlParam), params)
            session.execute(insert(models.SqlMetric), metrics)
            session.execute(insert(models.SqlLatestMetric), latest)


def search(folder, count, questions):
    mlflow, _, experiment = open_store(folder)
    began = time.monotonic()
    write_runs(mlflow, experiment, count)
    print(f"made {count} runs in {time.monotonic() - began:.1f} s")

    def ask(text, order=None, limit=50_000):
        return mlflow.search_runs([experiment], filter_string=text, order_by=order,
                                  max_results=limit)

    def means():
        found = ask("params.`model.depth` = '18' and attributes.status = 'FINISHED'")
        by = ["params.align.text.layer", "params.align.speech.layer"]
        return found.groupby(by)[["metrics.wer", "metrics.sim", "metrics.utmos"]].mean()

    asked = {
        "filter": lambda: ask("params.`align.text.layer` = '3'"),
        "filter, order, 100 rows": lambda: ask("metrics.wer < 0.2 and params.seed = '2'",
                                               ["metrics.wer ASC"], 100),
        "filter, group, mean": means,
    }
    for name, question in asked.items():
        ms = []
        for _ in range(questions):
            began = time.monotonic()
            answer = question()
            ms.append(1e3 * (time.monotonic() - began))
        print_latencies(name, ms)
        if name == "filter":
            expected = sum(cell_of(i)[1] == 3 for i in range(count))
            if len(answer) != expected:
                sys.exit(f"mlflow: {len(answer)} runs, expected {expected}")
        elif name == "filter, group, mean":
            one = [wer_of(i) for i in range(count) if cell_of(i)[1:3] == (0, 0)
                   and cell_of(i)[4] == 0]
            if one and abs(answer.loc[("0", "0"), "metrics.wer"] - statistics.mean(one)) > 1e-9:
                sys.exit("mlflow: a mean is wrong")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("venv")
    parser.add_argument("what", choices=["ingest", "search"])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=5)
    options = parser.parse_args()
    relaunch(options.venv)
    with tempfile.TemporaryDirectory(prefix="strata-bench-mlflow-") as folder:
        if options.what == "ingest":
            ingest(folder, options.clients, options.seconds)
        else:
            search(folder, options.runs, options.questions)


if __name__ == "__main__":
    main()
