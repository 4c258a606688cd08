-- The tables that questions are asked of. They follow the event log of the file beside, in which the truth is: this file can be
-- thrown away at any time. Keys are lower-case hex, times are Unix milliseconds. docs/store.md explains each table.

-- One row: up to which event the tables go, the chain of that event, and the version of the code that made them.
CREATE TABLE follows (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  seq     INTEGER NOT NULL,
  chain   INTEGER NOT NULL,
  made_by INTEGER NOT NULL
) STRICT;

CREATE TABLE sweep (
  sweep        TEXT PRIMARY KEY,
  generation   INTEGER NOT NULL,
  priority     INTEGER NOT NULL,
  sealed       INTEGER NOT NULL,
  cancelled    INTEGER NOT NULL,
  submitted_ms INTEGER NOT NULL,
  definition   TEXT NOT NULL,
  sealed_generation INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE run (
  sweep      TEXT NOT NULL,
  run        TEXT NOT NULL,
  generation INTEGER NOT NULL,
  cell       TEXT NOT NULL,
  seed       TEXT NOT NULL,
  baseline   INTEGER NOT NULL,
  assignment TEXT NOT NULL,
  UNIQUE (sweep, run)
) STRICT;
CREATE INDEX run_by_key ON run (run);

CREATE TABLE run_task (
  sweep TEXT NOT NULL,
  run   TEXT NOT NULL,
  stage TEXT NOT NULL,
  task  TEXT NOT NULL,
  PRIMARY KEY (sweep, run, stage)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_task_by_task ON run_task (task);

CREATE TABLE task (
  task              TEXT NOT NULL UNIQUE,
  stage             TEXT NOT NULL,
  state             TEXT NOT NULL,
  reason            TEXT NOT NULL,
  outdated          INTEGER NOT NULL,
  attempts          INTEGER NOT NULL,
  succeeded_attempt INTEGER,
  user_failures     INTEGER NOT NULL,
  infra_failures    INTEGER NOT NULL,
  last_failure      TEXT NOT NULL,
  checkpoint_step   INTEGER,
  created_ms        INTEGER NOT NULL,
  program           TEXT NOT NULL,
  flops             REAL NOT NULL,
  parameters        TEXT NOT NULL,
  key_material      TEXT NOT NULL,
  spec              TEXT NOT NULL
) STRICT;
CREATE INDEX task_by_state ON task (state);

CREATE TABLE want (
  task  TEXT NOT NULL,
  sweep TEXT NOT NULL,
  PRIMARY KEY (task, sweep)
) STRICT, WITHOUT ROWID;
CREATE INDEX want_by_sweep ON want (sweep);

CREATE TABLE attempt (
  task        TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  worker      INTEGER NOT NULL,
  slots       INTEGER NOT NULL,
  resume_step INTEGER,
  granted_ms  INTEGER NOT NULL,
  started_ms  INTEGER,
  ended_ms    INTEGER,
  outcome     TEXT,
  reason      TEXT NOT NULL DEFAULT '',
  recorded    TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  step    INTEGER NOT NULL,
  hash    TEXT NOT NULL,
  at_ms   INTEGER NOT NULL,
  PRIMARY KEY (task, attempt, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact (
  hash    TEXT PRIMARY KEY,
  bytes   INTEGER NOT NULL,
  files   INTEGER NOT NULL,
  present INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each succeeded attempt made and what it read.
CREATE TABLE output (
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  output  TEXT NOT NULL,
  hash    TEXT NOT NULL,
  PRIMARY KEY (task, attempt, output)
) STRICT, WITHOUT ROWID;

CREATE TABLE consumed (
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  input   TEXT NOT NULL,
  hash    TEXT NOT NULL,
  PRIMARY KEY (task, attempt, input)
) STRICT, WITHOUT ROWID;

-- Numbers that are not finite are text in `value`, `low`, `high` of these two tables, hence the type ANY.
CREATE TABLE score (
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  name    TEXT NOT NULL,
  value   ANY NOT NULL,
  unit    TEXT NOT NULL,
  low     ANY,
  high    ANY,
  count   INTEGER NOT NULL,
  better  TEXT NOT NULL,
  judge   TEXT NOT NULL,
  PRIMARY KEY (task, attempt, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE score_item (
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  name    TEXT NOT NULL,
  item    TEXT NOT NULL,
  value   ANY NOT NULL,
  PRIMARY KEY (task, attempt, name, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
  worker    INTEGER PRIMARY KEY,
  name      TEXT NOT NULL,
  session   TEXT NOT NULL,
  slots     INTEGER NOT NULL,
  labels    TEXT NOT NULL,
  draining  INTEGER NOT NULL,
  joined_ms INTEGER NOT NULL,
  gone_ms   INTEGER,
  reason    TEXT NOT NULL DEFAULT ''
) STRICT;

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
