-- Until a submission has arrived whole, the runs of the one before it are no orphans: the newest
-- generation that arrived whole stands beside the newest that was opened.
ALTER TABLE sweep ADD COLUMN sealed_generation INTEGER NOT NULL DEFAULT 0;
UPDATE sweep SET sealed_generation = CASE WHEN sealed THEN generation ELSE generation - 1 END;
