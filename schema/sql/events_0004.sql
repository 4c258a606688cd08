-- One row for each commit instead of one for each event, and the derived tables are in a file of their own
-- (tables_0001.sql). The rows of the table `event` are written anew by event_store.cc, which checks them first.

-- `body`: the frames of its events, one after the other. `chain`: of its last event, as before: the CRC-32C of `seq` and the
-- frame, begun with the chain of the event before.
CREATE TABLE batch (
  last_seq  INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL,
  at_ms     INTEGER NOT NULL,
  chain     INTEGER NOT NULL,
  body      BLOB NOT NULL
) STRICT;

-- The tasks that a batch names, 32 bytes each, sorted: beside it, so that what a damaged page of the one hides is read in the
-- other.
CREATE TABLE batch_tasks (
  last_seq INTEGER PRIMARY KEY,
  tasks    BLOB NOT NULL
) STRICT;
