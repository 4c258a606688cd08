"""The files of deploy/ hold together: with each other, with the programs' options and with the metrics that exist.

Only Python's standard library. Where promtool, shellcheck or systemd-analyze are installed (scripts/bootstrap deploy), they
are asked as well.
"""

import configparser
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
JOB_SCRIPTS = sorted((DEPLOY / "slurm").glob("*.sbatch"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MAINS = {"strata-coordinator": ROOT / "coordinator/main.cc", "strata-worker": ROOT / "worker/main.cc"}
NOT_OURS = {"up", "ALERTS"}  # Prometheus makes these
GRID_COLUMNS = 24


def text_of(path):
    return path.read_text(encoding="utf-8")


def exported_metrics():
    """What the exporter's source defines, with the three series of a histogram."""
    source = text_of(ROOT / "coordinator/exporter.cc")
    names = set(re.findall(r'(?:family|gauge|counter)\("(strata_\w+)"', source))
    for histogram in re.findall(r'histogram\("(strata_\w+)"', source):
        names.update(histogram + end for end in ("_bucket", "_sum", "_count"))
    return names


def panels_of(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions_of(dashboard):
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def alert_rules():
    """(name, expression) of alerts.yml, without a YAML reader: `expr:` on one line or folded with `>-`."""
    rules, name, expression = [], None, None
    for line in text_of(DEPLOY / "prometheus/alerts.yml").splitlines():
        begun = re.match(r"\s+- alert: (\w+)", line)
        if begun:
            name = begun.group(1)
        elif re.match(r"\s+expr: ", line):
            expression = line.split("expr: ", 1)[1]
        elif re.match(r"\s+(for|labels): ", line) and expression is not None:
            rules.append((name, expression))
            expression = None
        elif expression is not None:
            expression += " " + line.strip()
    return rules


def options_of(program):
    return set(re.findall(r'add_(?:option|flag)\("(--[\w-]+)"', text_of(MAINS[program])))


def continued_lines(text):
    return text.replace("\\\n", " ").splitlines()


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.dashboard = json.loads(text_of(DEPLOY / "grafana/strata.json"))

    def test_every_expression_mentions_metrics_that_the_exporter_defines_and_no_others(self):
        known = exported_metrics()
        self.assertGreater(len(known), 20)
        for title, expression in expressions_of(self.dashboard):
            named = set(re.findall(r"\b(strata_\w+)", expression))
            self.assertTrue(named or NOT_OURS & set(re.findall(r"\w+", expression)), f"{title}: no metric in {expression}")
            self.assertLessEqual(named, known, f"{title}: {expression}")

    def test_every_variable_is_defined(self):
        defined = {variable["name"] for variable in self.dashboard["templating"]["list"]}
        for title, expression in expressions_of(self.dashboard):
            self.assertLessEqual(set(re.findall(r"\$(\w+)", expression)), defined | {"__rate_interval"}, title)

    def test_panels_lie_beside_each_other_and_say_what_they_show(self):
        taken, ids = {}, set()
        for panel in panels_of(self.dashboard):
            self.assertNotIn(panel["id"], ids)
            ids.add(panel["id"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], GRID_COLUMNS, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} lies on {taken.get((x, y))}")
                    taken[x, y] = panel["title"]
            if panel["type"] != "row":
                self.assertTrue(panel["description"], panel["title"])
                self.assertTrue(panel["targets"], panel["title"])


class Metrics(unittest.TestCase):
    def test_every_one_is_described(self):
        described = set(re.findall(r"`(strata_\w+)`", text_of(ROOT / "docs/metrics.md")))
        self.assertEqual({re.sub(r"_(bucket|sum|count)$", "", name) if "_seconds_" in name else name for name in exported_metrics()}, described)


class Alerts(unittest.TestCase):
    def test_every_expression_mentions_metrics_that_the_exporter_defines_and_no_others(self):
        rules = alert_rules()
        self.assertEqual(len(rules), text_of(DEPLOY / "prometheus/alerts.yml").count("- alert:"))
        known = exported_metrics()
        for name, expression in rules:
            self.assertLessEqual(set(re.findall(r"\b(strata_\w+)", expression)), known, f"{name}: {expression}")

    def test_every_alert_is_seen_to_fire_by_a_rule_test(self):
        tests = text_of(DEPLOY / "prometheus/alerts_test.yml")
        fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n\s+- exp_labels", tests))
        self.assertEqual({name for name, _ in alert_rules()}, fired)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool_accepts_configuration_and_rules_and_passes_their_tests(self):
        for words in (["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
            done = subprocess.run(["promtool", *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_target_that_ships_is_where_the_unit_serves_metrics(self):
        targets = json.loads(text_of(DEPLOY / "prometheus/targets/strata.json"))
        unit = text_of(DEPLOY / "systemd/strata-coordinator.service")
        self.assertEqual(targets[0]["targets"], re.findall(r"--metrics (\S+)", unit))


class JobScripts(unittest.TestCase):
    def test_bash_can_read_them(self):
        self.assertEqual([path.name for path in JOB_SCRIPTS], ["coordinator.sbatch", "worker.sbatch"])
        for path in JOB_SCRIPTS:
            done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_slurm_must_know_stands_before_the_first_command(self):
        for path in JOB_SCRIPTS:
            head = []
            for line in text_of(path).splitlines():
                if line and not line.startswith("#"):
                    break
                head.append(line)
            for needed in ("--signal=B:TERM@120", "--requeue", "--open-mode=append", "--nodes=1", "--ntasks=1"):
                self.assertIn(f"#SBATCH {needed}", head, path.name)
            self.assertEqual(text_of(path).count("\n#SBATCH"), sum(line.startswith("#SBATCH") for line in head), path.name)

    def test_they_use_options_that_the_programs_have(self):
        for path in JOB_SCRIPTS:
            for line in continued_lines(text_of(path)):
                started = re.search(r'"\$bin/(strata-\w+)" (--.*)', line)
                if started:
                    self.assertLessEqual(set(re.findall(r"--[a-z][\w-]+", started.group(2))), options_of(started.group(1)), line)
        slots = set(re.findall(r"options\+=\((--[\w-]+)", text_of(DEPLOY / "slurm/worker.sbatch")))
        self.assertTrue(slots)
        self.assertLessEqual(slots, options_of("strata-worker"))

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_shellcheck_finds_nothing(self):
        scripts = [*JOB_SCRIPTS, *sorted(pathlib.Path(__file__).parent.glob("*.sh"))]
        done = subprocess.run(["shellcheck", "-x", "-P", ROOT, *scripts], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


class Units(unittest.TestCase):
    def test_they_parse_and_start_programs_of_ours_with_options_that_exist(self):
        self.assertEqual(len(UNITS), 2)
        for path in UNITS:
            unit = configparser.RawConfigParser(strict=True, delimiters=("=",))
            unit.optionxform = str
            unit.read(path, encoding="utf-8")
            self.assertEqual(unit.sections(), ["Unit", "Service", "Install"], path.name)
            program, *words = unit["Service"]["ExecStart"].split()
            self.assertLessEqual({word for word in words if word.startswith("--")}, options_of(pathlib.Path(program).name), path.name)
            self.assertEqual(unit["Service"]["KillMode"], "mixed", "SIGTERM goes to the daemon alone, which asks its programs itself")
            self.assertEqual(unit["Service"]["Restart"], "on-failure")

    def test_a_worker_is_given_the_time_that_its_shutdown_may_take(self):
        core = text_of(ROOT / "worker/core/agent.h")
        needed = sum(int(re.search(rf"{name}{{([\d']+)}}", core).group(1).replace("'", "")) for name in ("terminate_after", "shut_down_max"))
        given = int(re.search(r"TimeoutStopSec=(\d+)s", text_of(DEPLOY / "systemd/strata-worker@.service")).group(1))
        before_the_limit = int(re.search(r"B:TERM@(\d+)", text_of(DEPLOY / "slurm/worker.sbatch")).group(1))
        self.assertGreaterEqual(given * 1000, needed)
        self.assertGreaterEqual(before_the_limit * 1000, needed)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_systemd_accepts_them(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in UNITS:  # verify wants programs that exist
                (pathlib.Path(folder) / path.name).write_text(re.sub(r"/usr/local/bin/strata-\w+", "/bin/true", text_of(path)), encoding="utf-8")
            files = sorted(pathlib.Path(folder).iterdir())
            done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
