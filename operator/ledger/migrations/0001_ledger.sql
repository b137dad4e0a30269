-- What the ledger remembers. Digests are the text 'sha256:' and 64 lower-case hexadecimal digits.
-- Migrations only add: an older ledger must go on working beside a newer schema while a rollout is under way.

CREATE DOMAIN digest AS text CHECK (VALUE ~ '^sha256:[0-9a-f]{64}$');
COMMENT ON DOMAIN digest IS 'Address of content: the sha256 of its bytes.';

CREATE TABLE model_versions (
    uid         uuid PRIMARY KEY,
    namespace   text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    model       text NOT NULL CHECK (length(model) BETWEEN 1 AND 253),
    role        text NOT NULL CHECK (role IN ('Pending', 'Candidate', 'Live', 'Shadow', 'Retired', 'Rejected')),
    generation  bigint NOT NULL CHECK (generation >= 0),
    snapshot    digest,
    bundle      digest,
    family      text,
    metrics     jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(metrics) = 'array'),
    observed_at timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX model_versions_by_model ON model_versions (namespace, model, created_at);
COMMENT ON TABLE model_versions IS 'Last known state of each ModelVersion, also of those that were deleted.';
COMMENT ON COLUMN model_versions.uid IS 'uid of the Kubernetes object; a name may be used again, a uid is not.';
COMMENT ON COLUMN model_versions.generation IS 'Generation of the object that this row describes; it never falls.';
COMMENT ON COLUMN model_versions.observed_at IS 'When the operator saw this state; within a generation it never falls.';
COMMENT ON COLUMN model_versions.created_at IS 'When the ledger first heard of the version.';

CREATE TABLE job_results (
    job_uid     uuid PRIMARY KEY,
    namespace   text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    stage       text NOT NULL CHECK (stage IN ('Snapshot', 'Fit')),
    verdict     text NOT NULL CHECK (length(verdict) BETWEEN 1 AND 64),
    result      jsonb NOT NULL CHECK (jsonb_typeof(result) = 'object'),
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_results_by_time ON job_results (namespace, received_at);
COMMENT ON TABLE job_results IS 'Whole result of each training Job; the termination message of its Pod holds a shortened one.';
COMMENT ON COLUMN job_results.result IS 'As sent: unknown fields of a newer trainer are kept. A retried Job replaces it.';

CREATE TABLE job_progress (
    job_uid           uuid PRIMARY KEY,
    namespace         text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    step              text NOT NULL CHECK (length(step) <= 1000),
    percent           smallint NOT NULL CHECK (percent BETWEEN 0 AND 100),
    remaining_seconds bigint CHECK (remaining_seconds >= 0),
    updated_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE job_progress IS 'Last progress that each training Job told; it stays beside the result.';

CREATE TABLE artifacts (
    namespace   text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    digest      digest NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('Bundle', 'Snapshot')),
    size        bigint NOT NULL CHECK (size > 0),
    created_at  timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, digest)
);
CREATE INDEX artifacts_by_time ON artifacts (namespace, created_at);
COMMENT ON TABLE artifacts IS 'Index of the artifact store, which is read without it: a row may come after its artifact.';
COMMENT ON COLUMN artifacts.digest IS 'Digest of the manifest.';
COMMENT ON COLUMN artifacts.size IS 'Bytes of the manifest and of all files that it names.';
COMMENT ON COLUMN artifacts.created_at IS 'When the manifest was stored.';
