-- Metric points, in a file of their own; workers keep them until acknowledged.

CREATE TABLE series (
  id      INTEGER PRIMARY KEY,
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  UNIQUE (task, attempt)
) STRICT;

-- `metrics` is canonical JSON of name -> number; numbers that are not finite are strings.
CREATE TABLE point (
  series   INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  step     INTEGER NOT NULL,
  total    INTEGER,
  at_ms    INTEGER NOT NULL,
  metrics  TEXT NOT NULL,
  PRIMARY KEY (series, sequence)
) STRICT, WITHOUT ROWID;
