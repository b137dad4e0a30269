-- A total whose bins differ from those of a report is recognized by its number of counters, and not read.

ALTER TABLE counts ADD COLUMN counters integer CHECK (counters >= 0);
COMMENT ON COLUMN counts.counters IS 'Counters of the envelope. Rows of earlier releases have none, and are read whole.';
