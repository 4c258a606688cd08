BEGIN TRANSACTION;
CREATE TABLE point (
  series   INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  step     INTEGER NOT NULL,
  total    INTEGER,
  at_ms    INTEGER NOT NULL,
  metrics  TEXT NOT NULL,
  PRIMARY KEY (series, sequence)
) STRICT, WITHOUT ROWID;
INSERT INTO "point" VALUES(1,1,10,NULL,5,'{"loss":1}');
INSERT INTO "point" VALUES(1,2,20,NULL,5,'{"loss":1}');
INSERT INTO "point" VALUES(1,3,30,NULL,5,'{"loss":1}');
INSERT INTO "point" VALUES(1,4,40,NULL,5,'{"loss":1}');
INSERT INTO "point" VALUES(1,5,50,NULL,5,'{"loss":1}');
CREATE TABLE schema_version (version INTEGER PRIMARY KEY) STRICT;
INSERT INTO "schema_version" VALUES(1);
CREATE TABLE series (
  id      INTEGER PRIMARY KEY,
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  UNIQUE (task, attempt)
) STRICT;
INSERT INTO "series" VALUES(1,'e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',1);
COMMIT;
