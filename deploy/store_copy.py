#!/usr/bin/env python3
"""Copies of a coordinator's store in a shared folder, and which copy a new coordinator may go on from.

    store_copy.py copy   --store STORE --copy FOLDER       one copy, of a living or an ended coordinator's store
    store_copy.py claim  --store NEW --copy FOLDER         prints the store to start with; fills NEW where it is a restored one
    store_copy.py follow --store STORE --copy FOLDER --every S --while-process PID [--targets FILE]
    store_copy.py finish --store STORE --copy FOLDER       the coordinator has ended cleanly: last copy, STORE is removed

The store itself must lie on a local disk (SQLite), which is gone with its node; the copies may lie anywhere. SQLite opens
no file in FOLDER: each database is copied by its backup interface to a file beside the store, and that is copied over.

FOLDER/state.json says who has the truth:
  clean   the coordinator ended and the newest copy is all of its store: whoever comes next may go on from it
  live    a coordinator was started and has not ended cleanly; its store is newer than every copy. Going on from a copy would
          forget what was acknowledged since, and give attempt numbers a second time, so `claim` refuses, unless the store
          itself is there (same node) or --accept-unclean says that no worker of that coordinator lives any more.

Only Python's standard library. Exit codes: 0 done, 1 refused or failed (standard error says why), 2 wrong usage.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import sys
import time

DATABASES = ("events.sqlite", "metrics.sqlite")
SMALL_FILES = ("keys.json", "last_address")
COPIES_KEPT = 2
BUSY_SECONDS = 60.0
LOOK_SECONDS = 1.0


class Refused(Exception):
    """What a person has to read and decide."""


def write_atomic(path, text):
    """Mode 0600, whole or not at all, on the disk when it returns."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(partial, path)


def copy_file(source, target):
    with open(source, "rb") as data, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        shutil.copyfileobj(data, out)
        out.flush()
        os.fsync(out.fileno())


def check_database(path):
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    try:
        answer = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        answer = str(error)
    finally:
        connection.close()
    if answer != "ok":
        raise Refused(f"{path} is damaged: {answer}")


def copy_database(source, target):
    """One consistent picture, while others write. `target` lies on a local disk."""
    target.unlink(missing_ok=True)
    reader = sqlite3.connect(source, timeout=BUSY_SECONDS)
    try:
        writer = sqlite3.connect(target)
        try:
            reader.backup(writer, pages=-1)  # in one step: a writer would make it begin anew after each
        finally:
            writer.close()
    finally:
        reader.close()


class Copies:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).absolute()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state_file = self.folder / "state.json"

    def state(self):
        try:
            return json.loads(self.state_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise Refused(f"{self.state_file} is no JSON ({error}): restore it, or move {self.folder} away to begin anew")

    def set_state(self, **fields):
        write_atomic(self.state_file, json.dumps(fields, indent=2, sort_keys=True) + "\n")

    def take(self, store):
        """A copy of the store; its name. Older ones are removed only after the new one is whole."""
        store = pathlib.Path(store)
        name = f"copy-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.time_ns() % 1_000_000_000:09d}"
        partial = self.folder / f"partial-{name}"
        partial.mkdir(mode=0o700)
        for database in DATABASES:
            if not (store / database).exists():
                continue
            beside = store / f".copying.{database}"
            copy_database(store / database, beside)
            copy_file(beside, partial / database)
            beside.unlink()
        for small in SMALL_FILES:
            if (store / small).exists():
                copy_file(store / small, partial / small)
        os.rename(partial, self.folder / name)
        return name

    def forget_old(self):
        for old in sorted(self.folder.glob("copy-*"))[:-COPIES_KEPT]:
            shutil.rmtree(old)
        for left in self.folder.glob("partial-*"):
            shutil.rmtree(left)

    def restore(self, name, store):
        store = pathlib.Path(store)
        store.mkdir(mode=0o700, parents=True)  # fails when there is one: nothing is overwritten
        try:
            for source in sorted((self.folder / name).iterdir()):
                copy_file(source, store / source.name)
            for database in DATABASES:
                if (store / database).exists():
                    check_database(store / database)
        except (OSError, Refused):
            shutil.rmtree(store)  # half a store must not be taken for one
            raise


def claim(copies, store, accept_unclean):
    here = socket.gethostname()
    store = str(pathlib.Path(store).absolute())
    state = copies.state()
    if state is None:
        copies.set_state(state="live", host=here, store=store, copy=None, copied_at=None)
        return store
    if state["state"] == "live":
        if state["host"] == here and (pathlib.Path(state["store"]) / "events.sqlite").exists():
            return state["store"]
        name = state["copy"]
        age = "there is no copy of it" if name is None else f"its newest copy is {time.time() - state['copied_at']:.0f} s old"
        if not accept_unclean:
            raise Refused(
                f"the coordinator on {state['host']} with the store {state['store']} has not ended cleanly, or still runs; "
                f"{age}. Start on that node, where the store lies (sbatch --nodelist={state['host']}), or end all of its "
                f"workers and go on from the copy (STRATA_RESTORE=1, --accept-unclean): what was acknowledged since is lost."
            )
    name = state["copy"]
    if name is not None:
        copies.restore(name, store)
    copies.set_state(state="live", host=here, store=store, copy=name, copied_at=state["copied_at"])
    return store


def note_copy(copies, store, state):
    name = copies.take(store)
    copies.set_state(state=state, host=socket.gethostname(), store=str(pathlib.Path(store).absolute()), copy=name, copied_at=time.time())
    copies.forget_old()
    return name


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def write_targets(store, targets):
    """What Prometheus reads to find the coordinator (file_sd). False while its address is not known yet."""
    try:
        address = json.loads((pathlib.Path(store) / "coordinator.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    metrics = address.get("metrics_address", "")
    if metrics:
        host, port = metrics.rsplit(":", 1)
        if host in ("0.0.0.0", "[::]", "*"):
            host = socket.gethostname()
        text = json.dumps([{"targets": [f"{host}:{port}"], "labels": {}}]) + "\n"
        write_atomic(pathlib.Path(targets), text)
        os.chmod(targets, 0o644)  # Prometheus is another user, and there is no secret in it
    return True


def follow(copies, store, every, process, targets):
    due = time.monotonic() + every
    told = targets is None
    while alive(process):
        if not told:
            told = write_targets(store, targets)
        if time.monotonic() >= due:
            try:
                note_copy(copies, store, "live")
            except (OSError, sqlite3.Error) as error:  # a full or absent shared disk must not end the coordinator's job
                print(f"store_copy: copying {store}: {error}; trying again in {every:.0f} s", file=sys.stderr)
            due = time.monotonic() + every
        time.sleep(min(LOOK_SECONDS, every))


def finish(copies, store):
    name = note_copy(copies, store, "live")
    restored = pathlib.Path(store) / ".checking"
    shutil.rmtree(restored, ignore_errors=True)
    copies.restore(name, restored)  # read back and checked before the original goes
    copies.set_state(state="clean", host=socket.gethostname(), store=str(pathlib.Path(store).absolute()), copy=name, copied_at=time.time())
    shutil.rmtree(store)
    return name


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("copy", "claim", "follow", "finish"):
        command = commands.add_parser(name)
        command.add_argument("--store", required=True)
        command.add_argument("--copy", required=True)
    commands.choices["claim"].add_argument("--accept-unclean", action="store_true")
    commands.choices["follow"].add_argument("--every", type=float, default=300)
    commands.choices["follow"].add_argument("--while-process", type=int, required=True)
    commands.choices["follow"].add_argument("--targets")
    return parser.parse_args()


def main():
    given = arguments()
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        copies = Copies(given.copy)
        if given.command == "claim":
            print(claim(copies, given.store, given.accept_unclean))
        elif given.command == "follow":
            follow(copies, given.store, given.every, given.while_process, given.targets)
        elif given.command == "finish":
            print(f"store_copy: {finish(copies, given.store)} in {given.copy} is the whole store")
        else:
            state = (copies.state() or {}).get("state", "live")
            if state == "clean":
                raise Refused(f"{given.copy} holds the copy of a store that ended cleanly; name another folder, or `claim` it")
            print(f"store_copy: {note_copy(copies, given.store, 'live')} in {given.copy}")
    except Refused as refused:
        print(f"store_copy: {refused}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        print(f"store_copy: {given.command} {given.store}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
