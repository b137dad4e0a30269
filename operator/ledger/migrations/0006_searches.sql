-- A training Job that was interrupted goes on behind the rounds of its search that are here.

CREATE TABLE search_rounds (
    owner_uid   uuid NOT NULL,
    search      digest NOT NULL,
    round       integer NOT NULL CHECK (round BETWEEN 0 AND 999),
    namespace   text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 63),
    job_uid     uuid NOT NULL,
    record      bytea NOT NULL CHECK (octet_length(record) BETWEEN 1 AND 4194304),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_uid, search, round)
);
CREATE INDEX search_rounds_by_namespace ON search_rounds (namespace);
CREATE INDEX search_rounds_by_age ON search_rounds (recorded_at);
COMMENT ON TABLE search_rounds IS 'Rounds of searches whose bundles are not published yet. Rows are never changed.';
COMMENT ON COLUMN search_rounds.owner_uid IS 'uid of the ModelVersion or RemediationAction whose Job made it, as the API server proved it.';
COMMENT ON COLUMN search_rounds.search IS 'Digest over what the search depends on: spec, snapshot and program.';
COMMENT ON COLUMN search_rounds.job_uid IS 'The Job that made it; another Job of the same owner may read it.';
COMMENT ON COLUMN search_rounds.record IS 'JSON, as sent.';

-- The ledger's role may not delete. A version's own rounds go by this function, which runs as the owner of the schema.
CREATE FUNCTION forget_searches(of_namespace text, of_owner uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    deleted bigint;
BEGIN
    DELETE FROM search_rounds WHERE owner_uid = of_owner AND namespace = of_namespace;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;
REVOKE ALL ON FUNCTION forget_searches(text, uuid) FROM PUBLIC;
COMMENT ON FUNCTION forget_searches IS 'Deletes the rounds of all searches of one owner; returns how many.';

-- As before, and rounds of searches that no Job came back to.
CREATE OR REPLACE FUNCTION delete_expired(at_most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    of_counts bigint;
    of_feedback bigint;
    of_searches bigint;
BEGIN
    DELETE FROM counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM counts WHERE window_start < now() - interval '90 days'
        ORDER BY window_start LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS of_counts = ROW_COUNT;
    DELETE FROM feedback WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM feedback WHERE received_at < now() - interval '400 days'
        ORDER BY received_at LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS of_feedback = ROW_COUNT;
    DELETE FROM search_rounds WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM search_rounds WHERE recorded_at < now() - interval '7 days'
        ORDER BY recorded_at LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS of_searches = ROW_COUNT;
    RETURN of_counts + of_feedback + of_searches;
END $$;
-- With temporary tables first, as is usual, a caller could put a table and its triggers under the owner's hands.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION forget_searches(text, uuid) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION delete_expired(integer) SET search_path = %I, pg_temp', current_schema());
END $$;
COMMENT ON FUNCTION delete_expired IS 'Deletes at most so many rows of counts (90 days after their window began), of feedback (400 days after it came) and of search_rounds (7 days after they came); says how many.';
