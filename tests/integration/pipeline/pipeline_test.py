"""The demo's pipeline in its smallest form, through real processes and real models, from sweep file to table.

usage: pipeline_test.py SOURCE_FOLDER BUILD_FOLDER DEPS_FOLDER

Each step says what must be true. Nothing here looks at how good a score is: ten updates make noise.
"""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

SOURCE, BUILD, DEPS = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
FOLDER_OF_TEST = SOURCE / "tests" / "integration" / "pipeline"
ENVIRONMENT = dict(
    os.environ,
    PATH=f"{BUILD / 'bin'}:{os.environ['PATH']}",
    OMP_WAIT_POLICY="passive",
    OMP_NUM_THREADS="1",
    NO_COLOR="1",
)


class Cluster:
    """A coordinator and a worker of two slots in a folder of their own."""

    def __init__(self, folder, models):
        self.folder = folder
        self.models = models
        self.environment = dict(ENVIRONMENT, STRATA_COORDINATOR=str(folder / "coordinator.json"))

    def run(self, *arguments):
        done = subprocess.run(
            [BUILD / "bin" / "strata", *map(str, arguments)],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
        )
        if done.returncode != 0:
            for log in [*self.folder.glob("logs/*.log"), *self.folder.glob("worker/attempts/*/log.txt")]:
                print(f"--- {log.relative_to(self.folder)}\n{log.read_text(errors='replace')[-3000:]}")
            raise AssertionError(f"strata {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run("--json", *arguments))

    def attempts(self):
        """How often each stage was started, from the store itself (which follows the log: asked when it is quiet)."""
        store = sqlite3.connect(f"file:{self.folder / 'tables.sqlite'}?mode=ro", uri=True)
        with contextlib.closing(store):
            rows = store.execute("select task.stage, count(*) from attempt join task using (task) group by task.stage")
            return dict(rows.fetchall())


def step(what):
    print(f"== {what}", flush=True)


def export(models, *names):
    subprocess.run(
        ["/usr/bin/python3", SOURCE / "tools" / "export" / "export.py", "--models", DEPS / "models", "--out", models, *names],
        check=True, env=ENVIRONMENT,
    )


def variant(folder, name, change_sweep=lambda text: text, change_pipeline=lambda text: text):
    """A copy of the sweep and of its pipeline under another name, each changed."""
    pipeline = SOURCE / "sweeps" / "pipelines" / "tts_alignment.yaml"
    catalogue = SOURCE / "tools" / "export" / "catalogue.json"
    text = pipeline.read_text().replace("../../tools/export/catalogue.json", str(catalogue))
    (folder / f"{name}_pipeline.yaml").write_text(change_pipeline(text))
    text = (FOLDER_OF_TEST / "smallest.yaml").read_text()
    text = text.replace("sweep: smallest", f"sweep: {name}")
    text = text.replace("../../../sweeps/pipelines/tts_alignment.yaml", f"{name}_pipeline.yaml")
    path = folder / f"{name}.yaml"
    path.write_text(change_sweep(text))
    return path


def artifact(cluster, stage, output):
    """The folder of a stage's artifact, by the store's word."""
    tasks = [t for run in cluster.json("query", "sweep = smallest")["runs"] for s, t in run["stages"].items() if s == stage]
    shown = cluster.json("show", tasks[0]["task"])
    return pathlib.Path(shown["artifacts"][output]["path"])


def score_by_hand(cluster, work, name, change, with_corpus=False):
    """Scores of the references as the evaluator gives them for a changed copy of their list; nothing when it refuses."""
    folder = work / name
    audio = folder / "audio"
    shutil.copytree(artifact(cluster, "copy", "audio"), audio)
    subprocess.run(["chmod", "-R", "u+w", audio], check=True)
    rows = [json.loads(line) for line in (audio / "list.jsonl").read_text().splitlines()]
    change(rows)
    (audio / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    runs = cluster.json("query", "sweep = smallest")["runs"]
    shown = cluster.json("show", runs[0]["stages"]["score_references"]["task"])
    spec = {
        "contract": 1, "task": "0" * 64, "stage": "score", "attempt": 1, "parameters": shown["spec"]["parameters"],
        "inputs": {"audio": str(audio)},
        "outputs": {"report": str(folder / "report")}, "models": str(cluster.models), "resume": None,
        "slots": 1, "ranks": 1, "threads": 1,
    }
    if with_corpus:
        spec["inputs"]["corpus"] = str(artifact(cluster, "prepare", "corpus"))
    (folder / "spec.json").write_text(json.dumps(spec))
    done = subprocess.run(["strata-evaluator", "score", "spec.json"], cwd=folder, env=ENVIRONMENT)
    if with_corpus and done.returncode == 2:
        return None
    assert done.returncode == 0, done
    scores = {score["name"]: score for score in json.loads((folder / "scores.json").read_text())["scores"]}
    return scores


def main(work):
    models = work / "models"
    export(DEPS / "exported")
    shutil.copytree(DEPS / "exported", models)
    cluster = Cluster(work / "cluster", models)
    cluster.folder.mkdir()
    step("a coordinator and a worker come up")
    cluster.run("up", "--detach", "--folder", cluster.folder, "--models", models, "--slots", "2")
    try:
        step("the sweep runs to its end through every stage")
        print(cluster.run("submit", FOLDER_OF_TEST / "smallest.yaml", "--wait"))
        first = cluster.attempts()
        expected = {"prepare": 1, "extract": 1, "train": 2, "synthesize": 2, "score": 2, "copy": 1, "score_references": 1}
        assert first == expected, f"features and corpus are made once, the rest per run: {first}"

        step("the table has both cells, their scores, and the references")
        text = cluster.run("table", "smallest")
        print(text)
        for word in ("wer", "sim_o", "mos", "flow_loss", "text_use", "recordings"):
            assert word in text.lower(), word

        step("submitting again runs nothing")
        print(cluster.run("submit", FOLDER_OF_TEST / "smallest.yaml", "--wait"))
        assert cluster.attempts() == first

        step("an archive deleted and exported again runs nothing")
        (models / "ge2e.pt").unlink()
        export(models, "ge2e")
        cluster.run("submit", FOLDER_OF_TEST / "smallest.yaml", "--wait")
        assert cluster.attempts() == first

        step("a sweep that samples otherwise shares everything up to the weights")
        other = variant(work, "sampled-otherwise", change_sweep=lambda text: text.replace("sampling.steps: 2", "sampling.steps: 3"))
        cluster.run("submit", other, "--wait")
        second = cluster.attempts()
        assert second == {**first, "synthesize": 4, "score": 4}, second

        step("a stage whose result_version is raised runs again, with its descendants and nothing else")
        raised = variant(
            work, "raised",
            change_pipeline=lambda text: text.replace("program: strata-trainer synthesize\n",
                                                      "program: strata-trainer synthesize\n    result_version: 2\n"),
        )
        cluster.run("submit", raised, "--wait")
        third = cluster.attempts()
        assert third == {**second, "synthesize": 6, "score": 6}, third

        step("a figure is traced to its run, attempt, artifact and WAV")
        cell = cluster.json("query", "sweep = smallest")["runs"][0]["cell"]
        item = json.loads((artifact(cluster, "synthesize", "audio") / "list.jsonl").read_text().splitlines()[0])["id"]
        trace = cluster.run("trace", "smallest", "--cell", cell, "--score", "wer", "--item", item)
        print(trace)
        assert f"/wavs/{item}.wav" in trace

        step("shuffled transcripts change the scores of real speech")
        sound = score_by_hand(cluster, work, "sound", lambda rows: None)

        def swap_texts(rows):
            recordings = [row for row in rows if row["set"] == "recordings"]
            recordings[0]["text"], recordings[1]["text"] = recordings[1]["text"], recordings[0]["text"]

        def swap_audio(rows):
            recordings = [row for row in rows if row["set"] == "recordings"]
            recordings[0]["audio"], recordings[1]["audio"] = recordings[1]["audio"], recordings[0]["audio"]

        assert score_by_hand(cluster, work, "refused", swap_texts, with_corpus=True) is None, "the corpus contradicts it"
        shuffled = score_by_hand(cluster, work, "shuffled", swap_texts)
        swapped = score_by_hand(cluster, work, "swapped", swap_audio)
        print("WER of recordings:", sound["wer/recordings"]["value"], shuffled["wer/recordings"]["value"], swapped["wer/recordings"]["value"])
        assert shuffled["wer/recordings"]["value"] > sound["wer/recordings"]["value"] + 0.3
        assert swapped["wer/recordings"]["value"] > sound["wer/recordings"]["value"] + 0.3
    finally:
        cluster.run("up", "--stop", "--folder", cluster.folder)

    step("no process is left")
    listed = subprocess.run(["pgrep", "-af", str(work)], stdout=subprocess.PIPE, text=True).stdout
    left = [line for line in listed.splitlines() if "pipeline_test" not in line and "pgrep" not in line]
    assert not left, left


with tempfile.TemporaryDirectory(prefix="strata-pipeline-") as folder:
    try:
        main(pathlib.Path(folder))
    finally:
        subprocess.run(["chmod", "-R", "u+w", folder])
print("1 passed, 0 failed")
