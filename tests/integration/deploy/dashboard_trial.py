"""The dashboard and the alert rules, tried: Debian's Prometheus scrapes a coordinator on which a sweep runs, with the files of
deploy/prometheus, and every expression of every panel of deploy/grafana/strata.json must return data. About two minutes.

    dashboard_trial.py [FOLDER WITH THE PROGRAMS]        (default: build/ci/bin)

Exit codes: 0 every panel has data, 1 not, 77 Prometheus is not installed (scripts/bootstrap deploy).
"""

import json
import math
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "deploy/grafana/strata.json"
PATIENCE_SECONDS = 180.0
ASK_EVERY_SECONDS = 2.0
# What Grafana puts in place of its variables: everything, and windows that suit a trial's scrapes of every second.
VARIABLES = {"$instance": ".*", "$sweep": ".*", "$__rate_interval": "10s", "$__interval": "1s", "$__range": "1m"}
# One stage that works long enough to be watched, one whose tasks fail, so that panels of failures have something to show.
SWEEP = """
sweep: dashboard-trial
base: {steps: 60, pause: 0.5}
stages:
  count:
    program: counting stage
    command: [python3, "%s"]
    reads: [steps, pause, salt]
    outputs: [result]
    resumable: true
  broken:
    program: a broken program
    command: [sh, -c, "echo it breaks; exit 1"]
    reads: [salt]
    retry: {failures: 1, lost: 1}
axes: {salt: [a, b, c, d]}
"""


def panels_with_expressions():
    """(panel title, expression), also inside of collapsed rows."""
    found = []

    def visit(panels):
        for panel in panels:
            visit(panel.get("panels", []))
            found.extend((panel["title"], target["expr"]) for target in panel.get("targets", []))

    visit(json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"])
    return found


def concrete(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    left = re.search(r"\$\w+", expression)
    if left:
        raise SystemExit(f"the variable {left.group()} has no value in this trial: {expression}")
    return expression


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, **parameters):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def has_data(port, expression):
    samples = ask(port, "query", query=expression)["result"]
    return any(math.isfinite(float(sample["value"][1])) for sample in samples)


def start_prometheus(folder, metrics_address):
    """With the project's own files; only faster."""
    shutil.copytree(ROOT / "deploy/prometheus", folder / "prometheus")
    configuration = folder / "prometheus/prometheus.yml"
    text = configuration.read_text(encoding="utf-8")
    for setting, value in (("scrape_interval", "1s"), ("scrape_timeout", "1s"), ("evaluation_interval", "1s")):
        text, count = re.subn(rf"^  {setting}: .*$", f"  {setting}: {value}", text, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"{configuration}: no {setting}")
    configuration.write_text(text, encoding="utf-8")
    targets = [{"targets": [metrics_address], "labels": {}}]
    (folder / "prometheus/targets/strata.json").write_text(json.dumps(targets), encoding="utf-8")
    port = free_port()
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=open(folder / "prometheus.log", "wb"), stderr=subprocess.STDOUT)
    return process, port


def wait_until_ready(port, process, log):
    for _ in range(100):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"Prometheus did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


def watch_panels(port):
    """The panels that returned nothing in time."""
    waiting = [(title, concrete(expression)) for title, expression in panels_with_expressions()]
    count, start = len(waiting), time.monotonic()
    while waiting and time.monotonic() - start < PATIENCE_SECONDS:
        waiting = [(title, expression) for title, expression in waiting if not has_data(port, expression)]
        time.sleep(ASK_EVERY_SECONDS)
    print(f"{count - len(waiting)} of {count} expressions returned data, after {time.monotonic() - start:.0f} s")
    return waiting


def trial(folder, programs):
    def strata(*words):
        return subprocess.run([programs / "strata", *words], check=True, capture_output=True, text=True, env=environment).stdout

    environment = dict(os.environ, STRATA_COORDINATOR=str(folder / "up/coordinator.json"))
    strata("up", "--detach", "--folder", str(folder / "up"), "--slots", "2", "--metrics", "127.0.0.1:0")
    prometheus = None
    try:
        address = json.loads((folder / "up/coordinator.json").read_text(encoding="utf-8"))["metrics_address"]
        prometheus, port = start_prometheus(folder, address)
        wait_until_ready(port, prometheus, folder / "prometheus.log")
        sweep = folder / "sweep.yaml"
        sweep.write_text(SWEEP % (ROOT / "tests/support/counting_stage.py"), encoding="utf-8")
        strata("submit", str(sweep))
        strata("submit", str(ROOT / "sweeps/smoke.yaml"))
        silent = watch_panels(port)
        for title, expression in silent:
            print(f"no data: {title}: {expression}", file=sys.stderr)
        unhealthy = [rule["name"] for group in ask(port, "rules")["groups"] for rule in group["rules"] if rule["health"] != "ok"]
        for name in unhealthy:
            print(f"the rule {name} cannot be evaluated", file=sys.stderr)
        firing = sorted({alert["labels"]["alertname"] for alert in ask(port, "alerts")["alerts"] if alert["state"] == "firing"})
        print(f"alerts that fire: {', '.join(firing)}")
        if "StrataTasksFailed" not in firing:
            print("StrataTasksFailed does not fire although tasks have failed", file=sys.stderr)
        return 1 if silent or unhealthy or "StrataTasksFailed" not in firing else 0
    finally:
        if prometheus is not None:
            prometheus.terminate()
            prometheus.wait(timeout=30)
        subprocess.run([programs / "strata", "up", "--stop", "--folder", str(folder / "up")], check=False, capture_output=True)


def main():
    programs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/ci/bin").resolve()
    if shutil.which("prometheus") is None:
        print("Prometheus is not installed: run scripts/bootstrap deploy", file=sys.stderr)
        return 77
    folder = pathlib.Path(tempfile.mkdtemp(prefix="strata-dashboard-trial."))
    status = 1
    try:
        status = trial(folder, programs)
    finally:
        if status == 0:
            shutil.rmtree(folder)
        else:
            print(f"everything lies in {folder}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
