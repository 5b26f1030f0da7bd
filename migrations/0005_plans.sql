-- What admins have to see: each job's story, every change of mode, incidents, and who may open the dashboard.

-- ---------------------------------------------------------------- a job's story
ALTER TABLE jobs ADD COLUMN fell_back boolean NOT NULL DEFAULT false;  -- on Plan B only because Inngest was away

CREATE TABLE job_events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id  uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind    text        NOT NULL CHECK (kind IN
            ('accepted', 'fell_back', 'begun', 'taken_over', 'handed_over', 'stopped', 'ended')),
    service text        NOT NULL,
    plan    text        NOT NULL,
    epoch   integer     NOT NULL,
    detail  text        NOT NULL DEFAULT ''
);
CREATE INDEX job_events_of_job ON job_events (job_id, id);
CREATE INDEX job_events_kind ON job_events (kind, at DESC);
CREATE INDEX job_events_at ON job_events (at);

-- The database writes the story itself, so no code can change a job and forget to say so.
CREATE FUNCTION jobs_tell_story() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text;
    more text := '';
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_events (job_id, kind, service, plan, epoch) VALUES (NEW.id, 'accepted', NEW.service, NEW.plan, 0);
        what := CASE WHEN NEW.fell_back THEN 'fell_back' END;
    ELSIF NEW.state IN ('succeeded', 'failed', 'cancelled') AND OLD.state IN ('queued', 'running') THEN
        what := 'ended';
        more := NEW.state || coalesce(' ' || NEW.failure, '');
    ELSIF NEW.cancel_requested AND NOT OLD.cancel_requested THEN
        what := 'stopped';
    ELSIF NEW.epoch > OLD.epoch THEN
        -- Another holder: the first one, or a job whose runner fell silent, or that Inngest never began.
        what := CASE WHEN OLD.epoch > 0 OR OLD.plan <> NEW.plan THEN 'taken_over' ELSE 'begun' END;
        more := CASE WHEN what = 'taken_over' THEN 'from ' || OLD.plan END;
    ELSIF NEW.fell_back AND NOT OLD.fell_back THEN
        what := 'fell_back';
    ELSIF OLD.holder IS NOT NULL AND NEW.holder IS NULL THEN
        what := 'handed_over';
    END IF;
    IF what IS NOT NULL THEN
        INSERT INTO job_events (job_id, kind, service, plan, epoch, detail)
        VALUES (NEW.id, what, NEW.service, NEW.plan, NEW.epoch, coalesce(more, ''));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_story_begins AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_tell_story();
CREATE TRIGGER jobs_story_goes_on AFTER UPDATE OF state, epoch, holder, plan, cancel_requested, fell_back ON jobs
    FOR EACH ROW EXECUTE FUNCTION jobs_tell_story();
CREATE INDEX jobs_created ON jobs (created_at DESC);
CREATE INDEX jobs_ended ON jobs (ended_at DESC) WHERE ended_at IS NOT NULL;

-- ---------------------------------------------------------------- who set which mode
CREATE TABLE settings_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text        NOT NULL,
    value      jsonb,                            -- NULL: taken back
    changed_by bigint,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------- incidents
CREATE TABLE incidents (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text        NOT NULL,
    opened_at  timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,             -- when it was last seen to last
    closed_at  timestamptz,
    facts      jsonb       NOT NULL DEFAULT '{}',
    told       jsonb       NOT NULL DEFAULT '{}',  -- admin's id: the one message they have of it: bot, message_id, text
    told_at    timestamptz,                      -- when the messages were last sent or edited
    told_text  text        NOT NULL DEFAULT '',
    posted     text        NOT NULL DEFAULT '',  -- what the webhook was told last: opened, closed
    teller_until timestamptz NOT NULL DEFAULT '-infinity'  -- one process tells at a time
);
CREATE UNIQUE INDEX incidents_open ON incidents (kind) WHERE closed_at IS NULL;
CREATE INDEX incidents_opened ON incidents (opened_at DESC);

-- ---------------------------------------------------------------- the dashboard's door
CREATE TABLE dashboard_links (
    token_hash bytea PRIMARY KEY,                -- the link itself is nowhere but in the admin's chat
    admin_id   bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

ALTER TABLE topups ADD COLUMN checked_at timestamptz;  -- Telegram asked before the payment, and we agreed
