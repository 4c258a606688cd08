-- Workers that have to prove themselves, and what the searches judged tasks by.
CREATE TABLE quarantine (
  worker_name TEXT PRIMARY KEY,
  since_ms    INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  for_ms      INTEGER NOT NULL,
  probing     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rung (
  sweep TEXT NOT NULL,
  task  TEXT NOT NULL,
  rung  INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  value ANY NOT NULL,
  PRIMARY KEY (sweep, task, rung)
) STRICT, WITHOUT ROWID;
