-- What a search reads of every task (coordinator/run_index.h), so that it need not pass over their specs.

DROP INDEX task_by_state;
CREATE INDEX task_by_state ON task (state, succeeded_attempt);
