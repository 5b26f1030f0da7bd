-- The whole schema as of version 0.2. An applied migration is never edited: every later change is a new file.
--
-- Credits are the user's balance in this bot; Stars are Telegram's currency and appear only where money is paid or
-- refunded. docs/reference/database.md gives an overview, docs/glossary.md the terms.

-- ================================================================ users
CREATE TABLE users (
    id              bigint PRIMARY KEY,                     -- Telegram's user id
    bot_name        text        NOT NULL,                   -- the bot the user last wrote to; notifications use it
    username        text,
    first_name      text        NOT NULL DEFAULT '',
    language        text        NOT NULL,
    language_chosen boolean     NOT NULL DEFAULT false,     -- picked in /language: Telegram's no longer counts
    active          boolean     NOT NULL DEFAULT true,      -- false once Telegram reports a block or closed account
    blocked         boolean     NOT NULL DEFAULT false,     -- by an admin
    terms_accepted_at timestamptz,
    invited_by      bigint REFERENCES users CHECK (invited_by <> id),
    -- Percent off every order until `discount_until`. A subscription sets both.
    discount        integer     NOT NULL DEFAULT 0 CHECK (discount BETWEEN 0 AND 90),
    discount_until  timestamptz,
    -- Set by the user in /settings. Quiet hours are hours of the day in UTC; both are NULL for none.
    wants_news      boolean     NOT NULL DEFAULT true,      -- false: not in the audience of any broadcast
    quiet_from      integer CHECK (quiet_from BETWEEN 0 AND 23),
    quiet_until     integer CHECK (quiet_until BETWEEN 0 AND 23),
    utc_offset      integer CHECK (utc_offset BETWEEN 0 AND 23),  -- hours the user's clock is ahead of UTC
    notes           text        NOT NULL DEFAULT '',        -- written by admins, one line each
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_seen_at    timestamptz NOT NULL DEFAULT now(),     -- accurate to five minutes
    returned_at     timestamptz                             -- last time the user wrote while `active` was false
);
CREATE INDEX users_invited_by ON users (invited_by) WHERE invited_by IS NOT NULL;

-- ================================================================ ledger
-- Double entry, append-only. Every movement of credits is one transaction with at least two postings that sum to
-- zero. A user has the accounts `available`, `held` (reserved for open orders) and `debt` (credits a refund took
-- back that were already spent). The others belong to us: `revenue`, `stars`, `bonuses`, `refunds`.
CREATE TABLE ledger_transactions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text        NOT NULL UNIQUE,    -- idempotency: a second movement with the same key does nothing
    kind        text        NOT NULL,           -- hold, capture, release, topup, refund, ...
    user_id     bigint      NOT NULL REFERENCES users,
    job_id      uuid,                           -- the order, for hold, capture and release
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_transactions_user ON ledger_transactions (user_id, id DESC);
CREATE INDEX ledger_transactions_created ON ledger_transactions (created_at);

CREATE TABLE ledger_postings (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL REFERENCES ledger_transactions,
    account        text   NOT NULL
                   CHECK (account IN ('available', 'held', 'debt', 'revenue', 'stars', 'bonuses', 'refunds')),
    user_id        bigint REFERENCES users,     -- the owner of the account; NULL for our own
    amount         bigint NOT NULL CHECK (amount <> 0),     -- credits; positive: into the account
    CHECK ((account IN ('available', 'held', 'debt')) = (user_id IS NOT NULL))
);
CREATE INDEX ledger_postings_transaction ON ledger_postings (transaction_id);
CREATE INDEX ledger_postings_user ON ledger_postings (user_id, id) WHERE user_id IS NOT NULL;

-- The sums of each user's postings, in credits. Only triggers write here.
CREATE TABLE balances (
    user_id   bigint PRIMARY KEY REFERENCES users,
    available bigint NOT NULL DEFAULT 0 CONSTRAINT available_not_negative CHECK (available >= 0),
    held      bigint NOT NULL DEFAULT 0 CONSTRAINT held_not_negative CHECK (held >= 0),
    debt      bigint NOT NULL DEFAULT 0 CONSTRAINT debt_not_negative CHECK (debt >= 0)
);

CREATE FUNCTION users_create_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO balances (user_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER users_create_balance AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION users_create_balance();

-- Balances follow the postings, so no code can change one without the other. It runs once per statement, not once
-- per row, so a hold never passes through a negative balance.
CREATE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Not an upsert: its CHECK would see the change alone, before it is added to the existing row.
    -- Postings to `debt` are negative while credits are owed; the balance's column is positive.
    UPDATE balances b
    SET available = b.available + d.available, held = b.held + d.held, debt = b.debt - d.debt
    FROM (
        SELECT user_id,
               coalesce(sum(amount) FILTER (WHERE account = 'available'), 0) AS available,
               coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,
               coalesce(sum(amount) FILTER (WHERE account = 'debt'), 0) AS debt
        FROM inserted WHERE user_id IS NOT NULL GROUP BY user_id
    ) d WHERE b.user_id = d.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_postings_apply AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_postings();

-- Checked once, at the commit that creates the ledger transaction. The two triggers below keep it true afterwards.
CREATE FUNCTION ledger_check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
    rows  bigint;
BEGIN
    SELECT coalesce(sum(amount), 0), count(*) INTO total, rows
    FROM ledger_postings WHERE transaction_id = NEW.id;
    IF total <> 0 OR rows < 2 THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: % postings, sum %', NEW.key, rows, total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON ledger_transactions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_balanced();

-- A posting is inserted by the same database transaction as its ledger transaction.
CREATE FUNCTION ledger_reject_late_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted i JOIN ledger_transactions t ON t.id = i.transaction_id WHERE t.created_at <> now()
    ) THEN
        RAISE EXCEPTION 'a posting cannot be added to an earlier ledger transaction';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_reject_late_postings AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_reject_late_postings();

CREATE FUNCTION ledger_reject_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER ledger_transactions_immutable BEFORE UPDATE OR DELETE ON ledger_transactions
    FOR EACH ROW EXECUTE FUNCTION ledger_reject_changes();
CREATE TRIGGER ledger_postings_immutable BEFORE UPDATE OR DELETE ON ledger_postings
    FOR EACH ROW EXECUTE FUNCTION ledger_reject_changes();

-- ================================================================ jobs
-- An order a user confirmed, or an internal job: the follow-up of a payment, a broadcast, a notification, a game
-- turn. Both run with the same lease, journal and plans. This table is also Plan B's queue.
CREATE TABLE jobs (
    id            uuid PRIMARY KEY,
    order_key     text        NOT NULL UNIQUE,  -- idempotency: an order confirmed twice is still one job
    service       text        NOT NULL,
    internal      boolean     NOT NULL DEFAULT false,   -- no price, no progress message, in nobody's history
    user_id       bigint      NOT NULL REFERENCES users,
    bot_name      text        NOT NULL,
    chat_id       bigint      NOT NULL,
    language      text        NOT NULL,
    inputs        jsonb       NOT NULL,
    summary       text        NOT NULL DEFAULT '',      -- the chosen options, as the user saw them
    price         integer     NOT NULL CHECK (price >= 0),  -- credits held until the job ends
    state         text        NOT NULL DEFAULT 'queued'
                  CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    cancel_requested boolean  NOT NULL DEFAULT false,
    failure       text,                         -- the message key of what the user was told
    result        jsonb,

    -- Where it runs.
    plan          text        NOT NULL CHECK (plan IN ('A', 'B')),
    fell_back     boolean     NOT NULL DEFAULT false,   -- on Plan B only because Inngest was unavailable
    priority      integer     NOT NULL DEFAULT 0,       -- seconds by which it moves ahead of other queued jobs
    resends       integer     NOT NULL DEFAULT 0,       -- times its event was sent again, with a new id, because
                                                        -- Inngest lost the run; it ignores an id it has seen

    -- The lease. A worker that claims the job gets the next epoch; one with an older epoch can no longer write.
    worker_id     text,                         -- NULL while no worker holds the job
    epoch         integer     NOT NULL DEFAULT 0,
    -- When any worker may claim the job: the end of its lease, or, while it is queued on Plan A, the deadline for
    -- Inngest to start it.
    claimable_at  timestamptz NOT NULL DEFAULT now(),

    -- The message in the user's chat that shows the job's progress, and whether it already shows how the job ended
    -- (from the start for an internal job). Until then the reconciler keeps editing it.
    progress_message_id bigint,
    finalized     boolean     NOT NULL DEFAULT false,

    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,                  -- first claimed by a worker
    ended_at      timestamptz
);
CREATE INDEX jobs_open ON jobs (claimable_at, created_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_open_by_user ON jobs (user_id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_by_user ON jobs (user_id, created_at DESC);
CREATE INDEX jobs_created ON jobs (created_at DESC);
CREATE INDEX jobs_ended ON jobs (ended_at DESC) WHERE ended_at IS NOT NULL;
CREATE INDEX jobs_unfinalized ON jobs (ended_at) WHERE ended_at IS NOT NULL AND NOT finalized;

-- What users ordered. Reports count this view and never the table, so internal jobs are in no figure. PostgreSQL
-- fixes the columns of a view when it is created: a migration that adds a column to jobs replaces the view too.
CREATE VIEW orders AS SELECT * FROM jobs WHERE NOT internal;

-- A job's timeline, written by the trigger below.
CREATE TABLE job_events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id  uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind    text        NOT NULL CHECK (kind IN
            ('accepted', 'fell_back', 'started', 'taken_over', 'handed_over', 'cancel_requested', 'ended')),
    service text        NOT NULL,
    plan    text        NOT NULL,
    epoch   integer     NOT NULL,
    detail  text        NOT NULL DEFAULT ''     -- ended: the state and the failure; taken_over: from which plan
);
CREATE INDEX job_events_by_job ON job_events (job_id, id);
CREATE INDEX job_events_kind ON job_events (kind, at DESC);
CREATE INDEX job_events_at ON job_events (at);

-- The database records the events itself, so no code can change a job without leaving a trace.
CREATE FUNCTION jobs_record_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event_kind   text;
    event_detail text := '';
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_events (job_id, kind, service, plan, epoch)
        VALUES (NEW.id, 'accepted', NEW.service, NEW.plan, 0);
        event_kind := CASE WHEN NEW.fell_back THEN 'fell_back' END;
    ELSIF NEW.state IN ('succeeded', 'failed', 'cancelled') AND OLD.state IN ('queued', 'running') THEN
        event_kind := 'ended';
        event_detail := NEW.state || coalesce(' ' || NEW.failure, '');
    ELSIF NEW.cancel_requested AND NOT OLD.cancel_requested THEN
        event_kind := 'cancel_requested';
    ELSIF NEW.epoch > OLD.epoch THEN
        -- A new worker: the first one, or the next after a worker went silent or Inngest never started the job.
        event_kind := CASE WHEN OLD.epoch > 0 OR OLD.plan <> NEW.plan THEN 'taken_over' ELSE 'started' END;
        event_detail := CASE WHEN event_kind = 'taken_over' THEN 'from ' || OLD.plan END;
    ELSIF NEW.fell_back AND NOT OLD.fell_back THEN
        event_kind := 'fell_back';
    ELSIF OLD.worker_id IS NOT NULL AND NEW.worker_id IS NULL THEN
        event_kind := 'handed_over';
    END IF;
    IF event_kind IS NOT NULL THEN
        INSERT INTO job_events (job_id, kind, service, plan, epoch, detail)
        VALUES (NEW.id, event_kind, NEW.service, NEW.plan, NEW.epoch, coalesce(event_detail, ''));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_record_insert AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_record_event();
CREATE TRIGGER jobs_record_update
    AFTER UPDATE OF state, epoch, worker_id, plan, cancel_requested, fell_back ON jobs
    FOR EACH ROW EXECUTE FUNCTION jobs_record_event();

-- ================================================================ journal
-- The results of a job's steps. A step with a result never runs again, on either plan.
CREATE TABLE journal (
    job_id     uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    step       text        NOT NULL,
    epoch      integer     NOT NULL,            -- of the worker that wrote it last
    plan       text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),  -- the first attempt
    ended_at   timestamptz,                     -- NULL: started, and no result was stored
    result     jsonb,                           -- {"value": ...}
    PRIMARY KEY (job_id, step)
);
-- Finds the job a provider's webhook is about: the step `start-...` returns the id of the prediction it created.
CREATE INDEX journal_predictions ON journal ((result ->> 'value')) WHERE starts_with(step, 'start-');

-- Bytes a step produced and the provider does not keep, such as speech. Needed until delivery, kept for 7 days.
CREATE TABLE blobs (
    job_id     uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    name       text        NOT NULL,
    content    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, name)
);
CREATE INDEX blobs_age ON blobs (created_at);

-- ================================================================ outbox
-- Jobs whose event has not been accepted by Inngest. The row is inserted together with the job and deleted by the
-- publisher.
CREATE TABLE outbox (
    job_id        uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    claimed_until timestamptz NOT NULL DEFAULT now(),   -- no other publisher sends it before then
    attempts      integer     NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- ================================================================ payments
-- An invoice for credits or for a subscription, paid or not.
CREATE TABLE topups (
    id            uuid PRIMARY KEY,             -- the invoice's payload
    user_id       bigint      NOT NULL REFERENCES users,
    bot_name      text        NOT NULL,
    stars         integer     NOT NULL CHECK (stars > 0),
    tier          text,                         -- the subscription tier it starts; NULL for a credit pack
    pending_order jsonb,                        -- the order that lacked credits; it is placed once this is paid
    charge_id     text UNIQUE,                  -- Telegram's, set when it is paid
    created_at    timestamptz NOT NULL DEFAULT now(),
    approved_at   timestamptz,                  -- when the bot approved Telegram's pre-checkout query
    paid_at       timestamptz
);
CREATE INDEX topups_user ON topups (user_id, created_at DESC);
CREATE INDEX topups_unconfirmed ON topups (approved_at) WHERE paid_at IS NULL AND approved_at IS NOT NULL;

-- A payment Telegram took and we credited. A subscription has one every month.
CREATE TABLE payments (
    id          text PRIMARY KEY,               -- Telegram's charge id
    topup_id    uuid REFERENCES topups,         -- NULL when the payload is not one of ours
    user_id     bigint      NOT NULL REFERENCES users,
    bot_name    text        NOT NULL,
    stars       integer     NOT NULL CHECK (stars > 0),
    recurring   boolean     NOT NULL DEFAULT false, -- renewed a subscription without the user doing anything
    created_at  timestamptz NOT NULL DEFAULT now(),
    refunded_at timestamptz
);
CREATE INDEX payments_user ON payments (user_id, created_at DESC);

-- The outbox of refunds: retried until Telegram has made the refund or rejected it for good.
CREATE TABLE refunds (
    charge_id       text PRIMARY KEY REFERENCES payments,
    requested_by    bigint      NOT NULL,       -- the admin's Telegram user id
    requested_at    timestamptz NOT NULL DEFAULT now(),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    done_at         timestamptz,
    error           text        NOT NULL DEFAULT ''     -- the last failure; with `done_at`: why it was rejected
);
CREATE INDEX refunds_open ON refunds (next_attempt_at) WHERE done_at IS NULL;

-- ================================================================ subscriptions
CREATE TABLE subscriptions (
    id           uuid PRIMARY KEY,              -- the topup that started it
    user_id      bigint      NOT NULL REFERENCES users,
    bot_name     text        NOT NULL,
    tier         text        NOT NULL,
    charge_id    text        NOT NULL,          -- its first payment, by which Telegram identifies the subscription
    expires_at   timestamptz NOT NULL,          -- moved a month ahead by each payment
    cancelled    boolean     NOT NULL DEFAULT false,    -- not renewed, still valid until `expires_at`
    reminded_for timestamptz                    -- the `expires_at` the user was reminded of
);
CREATE INDEX subscriptions_user ON subscriptions (user_id, expires_at DESC);
CREATE INDEX subscriptions_expiry ON subscriptions (expires_at);

-- ================================================================ promo codes
CREATE TABLE promo_codes (
    code       text PRIMARY KEY CHECK (code = upper(code)),
    credits    integer     NOT NULL CHECK (credits > 0),    -- for each user who redeems it
    max_uses   integer     NOT NULL CHECK (max_uses > 0),
    use_count  integer     NOT NULL DEFAULT 0 CHECK (use_count <= max_uses),
    expires_at timestamptz NOT NULL,
    created_by bigint      NOT NULL,            -- the admin's Telegram user id
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE promo_redemptions (
    code        text   NOT NULL REFERENCES promo_codes,
    user_id     bigint NOT NULL REFERENCES users,
    redeemed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (code, user_id)
);

-- ================================================================ assets
-- A model trained on a user's photos.
CREATE TABLE user_models (
    id           uuid PRIMARY KEY,
    user_id      bigint      NOT NULL REFERENCES users,
    kind         text        NOT NULL CHECK (kind IN ('v1', 'v2')),
    name         text        NOT NULL,
    trigger_word text        NOT NULL,          -- the word in a prompt that stands for the person in the photos
    version      text        NOT NULL,          -- the provider's name of the trained model
    offline      boolean     NOT NULL,          -- trained by the sandbox's offline provider
    job_id       uuid        NOT NULL UNIQUE REFERENCES jobs,
    created_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz
);
CREATE INDEX user_models_user ON user_models (user_id, created_at DESC) WHERE deleted_at IS NULL;

-- A voice cloned from a user's recording.
CREATE TABLE user_voices (
    id         uuid PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users,
    name       text        NOT NULL,
    voice_id   text        NOT NULL,            -- the provider's
    job_id     uuid        NOT NULL UNIQUE REFERENCES jobs,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz                      -- by the user, or because the provider no longer has it
);
CREATE INDEX user_voices_user ON user_voices (user_id, created_at DESC) WHERE deleted_at IS NULL;

-- ================================================================ conversations and updates
-- aiogram's FSM: where each conversation is, so that a restart loses nothing.
CREATE TABLE conversations (
    bot_id   bigint NOT NULL,
    chat_id  bigint NOT NULL,
    user_id  bigint NOT NULL,
    thread   text   NOT NULL DEFAULT '',        -- forum topic, business connection and destiny, if there are any
    state    text,
    data     jsonb  NOT NULL DEFAULT '{}',
    PRIMARY KEY (bot_id, chat_id, user_id, thread)
);

-- Telegram's updates, so that one delivered twice is handled once. Deleted 2 days after `done_at`.
CREATE TABLE updates (
    bot_id        bigint      NOT NULL,
    update_id     bigint      NOT NULL,
    claimed_until timestamptz NOT NULL,         -- an update whose process died is claimed again after this
    done_at       timestamptz,
    PRIMARY KEY (bot_id, update_id)
);
CREATE INDEX updates_done ON updates (done_at) WHERE done_at IS NOT NULL;

-- ================================================================ broadcasts
CREATE TABLE broadcasts (
    id           uuid PRIMARY KEY,
    admin_id     bigint      NOT NULL,
    bot_name     text        NOT NULL,          -- the bot of the admin's chat sends all messages: only it can copy
                                                -- from there
    state        text        NOT NULL DEFAULT 'draft'
                 CHECK (state IN ('draft', 'running', 'paused', 'stopped', 'done')),
    task         text        NOT NULL DEFAULT 'send' CHECK (task IN ('send', 'edit', 'delete')),
    content      jsonb       NOT NULL DEFAULT '{}',     -- messages of the admin's chat by language; "*" for all
    audience     jsonb       NOT NULL DEFAULT '{}',
    change       jsonb       NOT NULL DEFAULT '{}',     -- of an edit: which version, and its new text
    paid         boolean     NOT NULL DEFAULT false,    -- allow_paid_broadcast: up to 1000 per second, for Stars
    run_count    integer     NOT NULL DEFAULT 0,        -- times it was started or resumed; part of the job's key
    worker_id    uuid,                          -- the step that is sending; an earlier one can claim no recipients
    throttled_until timestamptz,                -- Telegram asked for a pause until then
    progress_message_id bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    ended_at     timestamptz
);
-- One at a time, so that a single rate limiter keeps Telegram's limit.
CREATE UNIQUE INDEX broadcasts_one_running ON broadcasts ((true)) WHERE state = 'running';
CREATE INDEX broadcasts_created ON broadcasts (created_at DESC);

CREATE TABLE broadcast_recipients (
    broadcast_id uuid   NOT NULL REFERENCES broadcasts ON DELETE CASCADE,
    user_id      bigint NOT NULL REFERENCES users,
    version      text   NOT NULL,               -- the key in the broadcast's content
    -- `sending` is written before the call. If the process dies, nobody can tell whether the message was sent: the
    -- state becomes `unknown` and the message is not sent again.
    state        text   NOT NULL DEFAULT 'waiting'
                 CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'blocked', 'unknown')),
    worker_id    uuid,                          -- the step that set `sending`
    message_ids  bigint[] NOT NULL DEFAULT '{}',
    edit_state   text CHECK (edit_state IN ('waiting', 'done', 'refused')),  -- of the latest edit or delete
    error        text NOT NULL DEFAULT '',      -- Telegram's, of the latest call
    updated_at   timestamptz,
    PRIMARY KEY (broadcast_id, user_id)
);
CREATE INDEX broadcast_recipients_waiting ON broadcast_recipients (broadcast_id, user_id) WHERE state = 'waiting';
CREATE INDEX broadcast_recipients_sending ON broadcast_recipients (broadcast_id) WHERE state = 'sending';
CREATE INDEX broadcast_recipients_edits ON broadcast_recipients (broadcast_id, user_id)
    WHERE edit_state = 'waiting';

-- ================================================================ notifications
-- What users were notified of, so that each thing is sent once. Deleted after 90 days.
CREATE TABLE notifications (
    key        text PRIMARY KEY,                -- what it is about; the same key is never sent twice
    user_id    bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at    timestamptz
);

-- ================================================================ leela
-- Games of Leela. A user has one open game at a time.
CREATE TABLE leela_games (
    id         uuid PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users,
    bot_name   text        NOT NULL,
    state      jsonb       NOT NULL,            -- services/leela/rules.py: Game
    -- What comes next: the user's tap, the landing of the die, the user's report, the reply to it.
    awaits     text        NOT NULL DEFAULT 'roll' CHECK (awaits IN ('roll', 'dice', 'report', 'reply')),
    moves      integer     NOT NULL DEFAULT 0,  -- made so far, so also the number of the last one
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);
CREATE UNIQUE INDEX leela_games_open ON leela_games (user_id) WHERE ended_at IS NULL;

CREATE TABLE leela_moves (
    game_id   uuid     NOT NULL REFERENCES leela_games ON DELETE CASCADE,
    number    integer  NOT NULL,                -- from 1
    roll      integer  NOT NULL CHECK (roll BETWEEN 1 AND 6),
    start     integer  NOT NULL,                -- the square it started from
    over      integer  NOT NULL,                -- the square the roll led to, where a snake or an arrow may begin
    square    integer  NOT NULL,                -- the square it ended on
    direction text     NOT NULL CHECK (direction IN ('step', 'snake', 'arrow', 'stop', 'win')),
    report    text,                             -- what the user wrote about the square
    reply     text,                             -- what the bot replied
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (game_id, number)
);

-- ================================================================ settings
-- What admins set while the bot runs: `mode` and `mode:<service>`.
CREATE TABLE settings (
    key        text PRIMARY KEY,
    value      jsonb       NOT NULL,
    changed_by bigint,                          -- the admin's Telegram user id
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Every change of a setting.
CREATE TABLE settings_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text        NOT NULL,
    value      jsonb,                           -- NULL: the setting was removed
    changed_by bigint,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Every process listens on the channel `settings`; the payload is the key that changed.
CREATE FUNCTION settings_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('settings', coalesce(NEW.key, OLD.key));
    RETURN NULL;
END $$;
CREATE TRIGGER settings_notify AFTER INSERT OR UPDATE OR DELETE ON settings
    FOR EACH ROW EXECUTE FUNCTION settings_notify();

-- ================================================================ scheduled tasks
-- A task for each time it was due. Whoever comes first does it: Inngest's cron or one of our processes.
CREATE TABLE scheduled_tasks (
    id            text        NOT NULL,         -- which task
    scheduled_for timestamptz NOT NULL,
    plan          text        NOT NULL CHECK (plan IN ('A', 'B')),
    claimed_until timestamptz NOT NULL,         -- a claim expires, so a process that dies does not lose the task
    done_at       timestamptz,
    PRIMARY KEY (id, scheduled_for)
);

-- ================================================================ incidents
-- Operational problems admins are notified of, one open incident of each kind.
CREATE TABLE incidents (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text        NOT NULL,
    opened_at      timestamptz NOT NULL,
    last_seen_at   timestamptz NOT NULL,        -- when a health check last found the problem
    closed_at      timestamptz,
    facts          jsonb       NOT NULL DEFAULT '{}',
    -- By admin id, the one message that admin has: storage/incidents.py, AdminMessage.
    admin_messages jsonb       NOT NULL DEFAULT '{}',
    notified_at    timestamptz,                 -- when the messages were last sent or edited
    notified_text  text        NOT NULL DEFAULT '',     -- what they say, in English
    webhook_state  text        NOT NULL DEFAULT '',     -- what the alert webhook last accepted: opened, closed
    -- When a process may next notify admins: the end of another process's claim, or of the pause after that.
    notifiable_at  timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE UNIQUE INDEX incidents_open ON incidents (kind) WHERE closed_at IS NULL;
CREATE INDEX incidents_opened ON incidents (opened_at DESC);

-- ================================================================ dashboard links
-- One-time links to the dashboard.
CREATE TABLE dashboard_links (
    token_hash bytea PRIMARY KEY,               -- the link itself exists only in the admin's chat
    admin_id   bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
