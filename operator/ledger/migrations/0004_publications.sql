-- What was published of each version to MLflow.

ALTER TABLE model_versions ADD COLUMN job text CHECK (length(job) BETWEEN 1 AND 64);
COMMENT ON COLUMN model_versions.job IS 'uid of the Job that trained the version; none for a bundle that was given.';

CREATE TABLE publications (
    version_uid        uuid PRIMARY KEY REFERENCES model_versions (uid),
    state              text NOT NULL DEFAULT 'Pending' CHECK (state IN ('Pending', 'Published', 'Failed')),
    attempts           integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at    timestamptz NOT NULL DEFAULT now(),
    error              text CHECK (length(error) <= 1000),
    run                text CHECK (length(run) <= 128),
    registered_version text CHECK (length(registered_version) <= 64),
    url                text CHECK (length(url) <= 2048),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX publications_due ON publications (next_attempt_at) WHERE state <> 'Published';
COMMENT ON TABLE publications IS 'One row for each version with a bundle, where MLflow is configured.';
COMMENT ON COLUMN publications.state IS 'Failed: the last attempt failed, the next one is at next_attempt_at.';
COMMENT ON COLUMN publications.next_attempt_at IS 'While an attempt runs: when it counts as lost.';
COMMENT ON COLUMN publications.run IS 'Id of the run in MLflow.';
COMMENT ON COLUMN publications.registered_version IS 'Number of the version of the registered model.';
