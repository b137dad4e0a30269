-- What serving tells: counts of each window, labels; and the verdicts on windows.
-- Times of windows are those at which a server received a row. Numbers of rows are bigint, so that they can be summed here.

CREATE TABLE counts (
    namespace      text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    model          text NOT NULL CHECK (length(model) BETWEEN 1 AND 253),
    pod_uid        uuid NOT NULL,
    incarnation    text NOT NULL CHECK (incarnation ~ '^[0-9a-f]{32}$'),
    route          digest NOT NULL,
    window_start   timestamptz NOT NULL,
    window_seconds integer NOT NULL CHECK (window_seconds > 0),
    version        text NOT NULL CHECK (length(version) BETWEEN 1 AND 253),
    bundle         digest NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence >= 0),
    closed         boolean NOT NULL,
    rows           bigint NOT NULL CHECK (rows >= 0),
    synthetic      bigint NOT NULL CHECK (synthetic >= 0),
    repeated       bigint NOT NULL CHECK (repeated >= 0),
    over_limit     bigint NOT NULL CHECK (over_limit >= 0),
    envelope       jsonb NOT NULL CHECK (jsonb_typeof(envelope) = 'object'),
    received_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, model, pod_uid, incarnation, route, window_start)
) WITH (fillfactor = 70);
CREATE INDEX counts_by_window ON counts (namespace, model, window_start, pod_uid, incarnation, route);
CREATE INDEX counts_by_age ON counts (window_start);
COMMENT ON TABLE counts IS 'All that one process counted of one route in one window by now: the total with the highest sequence.';
COMMENT ON COLUMN counts.pod_uid IS 'uid of the Pod that counted, from its proved token.';
COMMENT ON COLUMN counts.incarnation IS '128 random bits of one life of a process.';
COMMENT ON COLUMN counts.route IS 'Digest of version, bundle, threshold, weight and mode.';
COMMENT ON COLUMN counts.closed IS 'Whether the process said that nothing will be added any more; it is never taken back.';
COMMENT ON COLUMN counts.rows IS 'Rows in the bins. Answered rows are these with synthetic, repeated and over_limit.';
COMMENT ON COLUMN counts.envelope IS 'The total as it was sent, with the counts of every bin.';
COMMENT ON COLUMN counts.received_at IS 'When this total came.';

CREATE TABLE feedback (
    namespace       text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    model           text NOT NULL CHECK (length(model) BETWEEN 1 AND 253),
    prediction_id   text NOT NULL CHECK (prediction_id ~ '^[A-Za-z0-9_-]{64}$'),
    route           text NOT NULL CHECK (route ~ '^[0-9a-f]{16}$'),
    predicted_at    timestamptz NOT NULL,
    score           double precision NOT NULL CHECK (score BETWEEN 0 AND 1),
    class           smallint NOT NULL CHECK (class IN (0, 1)),
    actual          smallint NOT NULL CHECK (actual IN (0, 1)),
    contradicted_by smallint CHECK (contradicted_by IN (0, 1) AND contradicted_by <> actual),
    received_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, model, prediction_id)
);
CREATE INDEX feedback_by_time ON feedback (namespace, model, predicted_at);
CREATE INDEX feedback_by_age ON feedback (received_at);
COMMENT ON TABLE feedback IS 'The first label of each prediction.';
COMMENT ON COLUMN feedback.route IS 'The first 16 digits of the digest of the route that answered.';
COMMENT ON COLUMN feedback.predicted_at IS 'When the server received the row.';
COMMENT ON COLUMN feedback.contradicted_by IS 'Another label that came later. Where it is set, neither label counts.';

CREATE TABLE drift_reports (
    report_uid   uuid PRIMARY KEY,
    namespace    text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    model        text NOT NULL CHECK (length(model) BETWEEN 1 AND 253),
    version      text NOT NULL CHECK (length(version) BETWEEN 1 AND 253),
    bundle       digest NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL CHECK (window_end > window_start),
    verdict      text NOT NULL CHECK (verdict IN ('Drift', 'NoDrift', 'InsufficientData')),
    rows         bigint NOT NULL CHECK (rows >= 0),
    request      jsonb NOT NULL CHECK (jsonb_typeof(request) = 'object'),
    result       jsonb NOT NULL CHECK (jsonb_typeof(result) = 'object'),
    judgement    jsonb NOT NULL CHECK (jsonb_typeof(judgement) = 'object'),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX drift_reports_by_window ON drift_reports (namespace, model, window_end);
COMMENT ON TABLE drift_reports IS 'The verdict on one window of one version, given once. Rows are never changed.';
COMMENT ON COLUMN drift_reports.report_uid IS 'uid of the DriftReport.';
COMMENT ON COLUMN drift_reports.request IS 'What was asked; the same uid with another question is refused.';
COMMENT ON COLUMN drift_reports.result IS 'What was answered.';
COMMENT ON COLUMN drift_reports.judgement IS 'Every comparison with all its numbers, also of what did not drift.';

-- The ledger's role may not delete. What is too old goes by this function, which runs as the owner of the schema and
-- knows no other age than its own.
CREATE FUNCTION delete_expired(at_most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    of_counts bigint;
    of_feedback bigint;
BEGIN
    DELETE FROM counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM counts WHERE window_start < now() - interval '90 days'
        ORDER BY window_start LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS of_counts = ROW_COUNT;
    DELETE FROM feedback WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM feedback WHERE received_at < now() - interval '400 days'
        ORDER BY received_at LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS of_feedback = ROW_COUNT;
    RETURN of_counts + of_feedback;
END $$;
-- With temporary tables first, as is usual, a caller could put a table and its triggers under the owner's hands.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION delete_expired(integer) SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION delete_expired(integer) FROM PUBLIC;
COMMENT ON FUNCTION delete_expired IS 'Deletes at most so many rows of counts (90 days after their window began) and of feedback (400 days after it came); says how many.';
