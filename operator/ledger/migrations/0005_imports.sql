-- Imports of models are Jobs too, with results of their own.
ALTER TABLE job_results DROP CONSTRAINT job_results_stage_check,
    ADD CONSTRAINT job_results_stage_check CHECK (stage IN ('Snapshot', 'Fit', 'Import'));
