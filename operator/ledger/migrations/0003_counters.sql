-- A total of other bins than a report's is recognized, and not read, by its number of counters.

ALTER TABLE counts ADD COLUMN counters integer CHECK (counters >= 0);
COMMENT ON COLUMN counts.counters IS 'Counters of the envelope. Rows of earlier releases have none, and are read whole.';
