"""deploy/store_copy.py: copies are consistent while others write, damage is seen, and going back in time is refused."""

import importlib.util
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "deploy/store_copy.py"
sys.dont_write_bytecode = True
specification = importlib.util.spec_from_file_location("store_copy", SCRIPT)
store_copy = importlib.util.module_from_spec(specification)
specification.loader.exec_module(store_copy)


class StoreCopy(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="strata-store-copy.")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.copy = self.folder / "copy"
        self.copies = store_copy.Copies(self.copy)

    def make_store(self, name, rows=3):
        store = self.folder / name
        store.mkdir(exist_ok=True)
        for database in store_copy.DATABASES:
            connection = sqlite3.connect(store / database)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE a (n INTEGER)")
            connection.execute("CREATE TABLE b (n INTEGER)")
            for row in range(rows):
                connection.execute("INSERT INTO a VALUES (?)", (row,))
                connection.execute("INSERT INTO b VALUES (?)", (row,))
            connection.commit()
            connection.close()
        (store / "keys.json").write_text("{}", encoding="utf-8")
        return store

    def claim(self, name, accept_unclean=False):
        return store_copy.claim(self.copies, self.folder / name, accept_unclean)

    @staticmethod
    def rows(database, table="a"):
        connection = sqlite3.connect(database)
        try:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            connection.close()

    def from_elsewhere(self):
        state = self.copies.state()
        self.copies.set_state(**(state | {"host": "another-node"}))

    def test_the_first_coordinator_begins_with_an_empty_store(self):
        self.assertEqual(self.claim("one"), str(self.folder / "one"))
        self.assertFalse((self.folder / "one").exists(), "the coordinator makes it")
        self.assertEqual(self.copies.state()["state"], "live")

    def test_after_a_clean_end_the_next_one_has_everything_and_the_old_folder_is_gone(self):
        self.claim("one")
        store = self.make_store("one", rows=5)
        store_copy.finish(self.copies, store)
        self.assertFalse(store.exists())
        self.assertEqual(self.copies.state()["state"], "clean")
        self.from_elsewhere()
        restored = pathlib.Path(self.claim("two"))
        self.assertEqual(restored, self.folder / "two")
        self.assertEqual(self.rows(restored / "events.sqlite"), 5)
        self.assertTrue((restored / "keys.json").exists())
        self.assertEqual(self.copies.state()["state"], "live")

    def test_a_copy_that_is_behind_is_not_gone_on_from_unless_accepted(self):
        self.claim("one")
        store_copy.note_copy(self.copies, self.make_store("one"), "live")
        self.from_elsewhere()
        with self.assertRaisesRegex(store_copy.Refused, "another-node.*s old"):
            self.claim("two")
        self.assertFalse((self.folder / "two").exists(), "a refusal changes nothing")
        self.assertEqual(self.copies.state()["host"], "another-node")
        self.assertEqual(self.rows(pathlib.Path(self.claim("two", accept_unclean=True)) / "events.sqlite"), 3)

    def test_on_the_same_node_the_store_itself_is_taken_up(self):
        self.claim("one")
        store = self.make_store("one")
        self.assertEqual(self.claim("two"), str(store))

    def test_a_store_of_this_node_that_was_lost_counts_as_lost(self):
        self.claim("one")
        store = self.make_store("one")
        store_copy.note_copy(self.copies, store, "live")
        shutil.rmtree(store)
        with self.assertRaisesRegex(store_copy.Refused, socket.gethostname()):
            self.claim("two")

    def test_nothing_is_overwritten_by_a_restore(self):
        self.claim("one")
        store_copy.finish(self.copies, self.make_store("one"))
        self.make_store("two")
        with self.assertRaises(FileExistsError):
            self.claim("two")

    def test_a_damaged_copy_is_refused_and_stays_clean_for_another_try(self):
        self.claim("one")
        name = store_copy.finish(self.copies, self.make_store("one", rows=2000))
        database = self.copy / name / "events.sqlite"
        data = bytearray(database.read_bytes())
        data[4096:8192] = b"\xff" * 4096
        database.write_bytes(data)
        with self.assertRaisesRegex(store_copy.Refused, "damaged"):
            self.claim("two")
        self.assertFalse((self.folder / "two").exists())
        self.assertEqual(self.copies.state()["state"], "clean")

    def test_a_copy_is_one_picture_while_a_writer_is_at_work(self):
        store = self.make_store("one")
        stop = threading.Event()

        def write():
            connection = sqlite3.connect(store / "events.sqlite", timeout=30)
            while not stop.is_set():
                with connection:
                    connection.execute("INSERT INTO a VALUES (1)")
                    connection.execute("INSERT INTO b VALUES (1)")
            connection.close()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                name = store_copy.note_copy(self.copies, store, "live")
                copied = self.copy / name / "events.sqlite"
                self.assertEqual(self.rows(copied, "a"), self.rows(copied, "b"))
        finally:
            stop.set()
            writer.join()

    def test_two_copies_are_kept_and_closed_to_others(self):
        store = self.make_store("one")
        names = [store_copy.note_copy(self.copies, store, "live") for _ in range(4)]
        self.assertEqual(sorted(path.name for path in self.copy.glob("copy-*")), names[-2:])
        self.assertEqual(stat.S_IMODE((self.copy / names[-1]).stat().st_mode), 0o700)
        for file in (self.copy / names[-1]).iterdir():
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600, file.name)

    def test_a_backup_by_hand_does_not_unmark_a_clean_copy(self):
        self.claim("one")
        store_copy.finish(self.copies, self.make_store("one"))
        done = subprocess.run([sys.executable, "-B", SCRIPT, "copy", "--store", self.make_store("other"), "--copy", self.copy],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("another folder", done.stderr)
        self.assertEqual(self.copies.state()["state"], "clean")

    def test_prometheus_is_pointed_to_this_host_where_the_coordinator_listens_everywhere(self):
        store = self.make_store("one")
        targets = self.folder / "targets.json"
        self.assertFalse(store_copy.write_targets(store, targets), "the coordinator has not said where it listens")
        (store / "coordinator.json").write_text(json.dumps({"metrics_address": "0.0.0.0:9464"}), encoding="utf-8")
        self.assertTrue(store_copy.write_targets(store, targets))
        self.assertEqual(json.loads(targets.read_text(encoding="utf-8"))[0]["targets"], [f"{socket.gethostname()}:9464"])
        self.assertEqual(stat.S_IMODE(os.stat(targets).st_mode), 0o644)


if __name__ == "__main__":
    unittest.main(verbosity=2)
