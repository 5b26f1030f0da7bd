-- What people own besides credits: trained models, voices; bytes a step made; orders they stopped.

CREATE TABLE own_models (
    id         uuid PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users,
    kind       text        NOT NULL CHECK (kind IN ('v1', 'v2')),
    name       text        NOT NULL,
    trigger    text        NOT NULL,             -- the word that calls the person in a prompt
    version    text        NOT NULL,             -- the provider's name of the finished model
    offline    boolean     NOT NULL,
    job_id     uuid        NOT NULL UNIQUE REFERENCES jobs,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX own_models_user ON own_models (user_id, created_at DESC) WHERE deleted_at IS NULL;

CREATE TABLE own_voices (
    id         uuid PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users,
    name       text        NOT NULL,
    voice_id   text        NOT NULL,             -- the provider's
    job_id     uuid        NOT NULL UNIQUE REFERENCES jobs,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX own_voices_user ON own_voices (user_id, created_at DESC) WHERE deleted_at IS NULL;

-- Bytes that a provider gives once and does not keep: a spoken text. Kept until they are delivered.
CREATE TABLE blobs (
    job_id     uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    name       text        NOT NULL,
    content    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, name)
);
CREATE INDEX blobs_age ON blobs (created_at);

ALTER TABLE jobs ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN summary text NOT NULL DEFAULT '';   -- what was chosen, as the person saw it

-- Whether the progress message says how the job ended. Until it does, somebody keeps trying to say it.
ALTER TABLE jobs ADD COLUMN shown boolean NOT NULL DEFAULT false;
CREATE INDEX jobs_unshown ON jobs (ended_at) WHERE ended_at IS NOT NULL AND NOT shown;

-- Which job a provider's prediction belongs to, for its webhook.
CREATE INDEX journal_predictions ON journal ((result ->> 'value')) WHERE starts_with(step, 'start-');
