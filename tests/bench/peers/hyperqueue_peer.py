#!/usr/bin/env python3
"""HyperQueue beside strata-bench-true: one server and one worker of two cores in this process, and
programs that do nothing.

  tests/bench/peers/hyperqueue_peer.py --install FOLDER        its wheel, in an environment of its own
  FOLDER/bin/python tests/bench/peers/hyperqueue_peer.py rate --tasks 2000
  FOLDER/bin/python tests/bench/peers/hyperqueue_peer.py chain --tasks 50

The wheel keeps no journal, so nothing of this is durable; and the outputs of its tasks are thrown
away, which is the faster way for it.
"""
import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
import venv

VERSION = "hyperqueue==0.27.0"
CORES = 2


def install(folder):
    venv.create(folder, with_pip=True)
    subprocess.run([os.path.join(folder, "bin", "pip"), "install", "--quiet", VERSION], check=True)


def run(client, job):
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        began = time.monotonic()
        client.wait_for_jobs([client.submit(job)])
        return time.monotonic() - began


def measure(what, tasks):
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    def job(count, chained):
        made = Job(max_fails=0)
        before = ()
        for _ in range(count):
            one = made.program(["/bin/true"], stdout=None, stderr=None, deps=before)
            before = (one,) if chained else ()
        return made

    chained = what == "chain"
    with tempfile.TemporaryDirectory(prefix="hyperqueue-") as folder, LocalCluster(
        os.path.join(folder, "server"), WorkerConfig(cores=CORES)
    ) as cluster:
        os.chdir(folder)
        client = cluster.client()
        run(client, job(20, chained))  # its worker is there, its pages are warm
        took = run(client, job(tasks, chained))
        os.chdir("/")
    if chained:
        print(f"ms each {1e3 * took / tasks:.2f}")
    else:
        print(f"tasks a second {tasks / took:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["rate", "chain"])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--install", metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.install:
        install(arguments.install)
    elif arguments.what:
        measure(arguments.what, arguments.tasks)
    else:
        parser.error("rate, chain or --install FOLDER")


if __name__ == "__main__":
    sys.exit(main())
