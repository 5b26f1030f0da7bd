-- The nouns of docs/reference: users, jobs, journal, ledger, settings, outbox, FSM and updates.

CREATE TABLE users (
    id          bigint PRIMARY KEY,             -- Telegram's user id
    bot_name    text        NOT NULL,           -- the bot that last spoke with the person
    language    text        NOT NULL,
    language_chosen boolean NOT NULL DEFAULT false,  -- picked in /language; Telegram's no longer counts
    username    text,
    first_name  text        NOT NULL DEFAULT '',
    active      boolean     NOT NULL DEFAULT true,   -- false once Telegram says blocked or deactivated
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------- ledger
-- Double entry. Accounts of a person are `available` and `held`; all others belong to the house.
CREATE TABLE ledger_transactions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text        NOT NULL UNIQUE,    -- repeating a move with the same key changes nothing
    kind        text        NOT NULL,
    user_id     bigint      NOT NULL REFERENCES users,
    job_id      uuid,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ledger_postings (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL REFERENCES ledger_transactions,
    account        text   NOT NULL CHECK (account IN ('available', 'held', 'revenue', 'stars', 'bonuses', 'refunds')),
    user_id        bigint REFERENCES users,
    amount         bigint NOT NULL CHECK (amount <> 0),
    CHECK ((account IN ('available', 'held')) = (user_id IS NOT NULL))
);
CREATE INDEX ledger_postings_transaction ON ledger_postings (transaction_id);
CREATE INDEX ledger_postings_user ON ledger_postings (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX ledger_transactions_user ON ledger_transactions (user_id, id DESC);

CREATE TABLE balances (
    user_id   bigint PRIMARY KEY REFERENCES users,
    available bigint NOT NULL DEFAULT 0 CONSTRAINT available_not_negative CHECK (available >= 0),
    held      bigint NOT NULL DEFAULT 0 CONSTRAINT held_not_negative CHECK (held >= 0)
);

-- Balances follow the postings, so no code can move one without the other. One statement a
-- transaction, whatever the number of rows, so that a hold never passes through a negative sum.
CREATE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Not an upsert: its CHECK would see the delta alone before it saw the row it adds to.
    UPDATE balances b SET available = b.available + d.available, held = b.held + d.held
    FROM (
        SELECT user_id,
               coalesce(sum(amount) FILTER (WHERE account = 'available'), 0) AS available,
               coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held
        FROM inserted WHERE user_id IS NOT NULL GROUP BY user_id
    ) d WHERE b.user_id = d.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_postings_apply AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_postings();

CREATE FUNCTION users_open_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO balances (user_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER users_open_balance AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION users_open_balance();

CREATE FUNCTION ledger_must_balance() RETURNS trigger LANGUAGE plpgsql AS $$
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
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_must_balance();

-- A posting belongs to the database transaction that made its ledger transaction, and never changes:
-- otherwise the check above, which runs once at that commit, could be got around later.
CREATE FUNCTION ledger_posting_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted i JOIN ledger_transactions t ON t.id = i.transaction_id WHERE t.created_at <> now()
    ) THEN
        RAISE EXCEPTION 'a posting cannot be added to an earlier ledger transaction';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_posting_in_time AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_posting_in_time();

CREATE FUNCTION ledger_is_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is only added to';
END $$;
CREATE TRIGGER ledger_transactions_fixed BEFORE UPDATE OR DELETE ON ledger_transactions
    FOR EACH ROW EXECUTE FUNCTION ledger_is_history();
CREATE TRIGGER ledger_postings_fixed BEFORE UPDATE OR DELETE ON ledger_postings
    FOR EACH ROW EXECUTE FUNCTION ledger_is_history();

-- ---------------------------------------------------------------- jobs
CREATE TABLE jobs (
    id           uuid PRIMARY KEY,
    order_key    text        NOT NULL UNIQUE,   -- one order is one job, however often it is confirmed
    service      text        NOT NULL,
    user_id      bigint      NOT NULL REFERENCES users,
    bot_name     text        NOT NULL,
    chat_id      bigint      NOT NULL,
    progress_message_id bigint,                 -- the message that tells how far the job is
    language     text        NOT NULL,
    inputs       jsonb       NOT NULL,
    price        integer     NOT NULL CHECK (price >= 0),
    state        text        NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    plan         text        NOT NULL CHECK (plan IN ('A', 'B')),
    -- The lease: who may write, until when. A runner with an older epoch may write nothing.
    holder       text,
    epoch        integer     NOT NULL DEFAULT 0,
    lease_until  timestamptz NOT NULL DEFAULT now(),
    failure      text,                          -- the message key the person got
    result       jsonb,
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    ended_at     timestamptz
);
CREATE INDEX jobs_open ON jobs (lease_until, created_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_open_of_user ON jobs (user_id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_of_user ON jobs (user_id, created_at DESC);

CREATE TABLE journal (
    job_id     uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    step       text        NOT NULL,
    epoch      integer     NOT NULL,
    plan       text        NOT NULL,
    begun_at   timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,                     -- NULL: begun, and nobody wrote down how it ended
    result     jsonb,
    PRIMARY KEY (job_id, step)
);

CREATE TABLE outbox (
    job_id        uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    claimed_until timestamptz NOT NULL DEFAULT now(),
    attempts      integer     NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------- settings
CREATE TABLE settings (
    key        text PRIMARY KEY,
    value      jsonb       NOT NULL,
    changed_by bigint,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION settings_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('settings', coalesce(NEW.key, OLD.key));
    RETURN NULL;
END $$;
CREATE TRIGGER settings_notify AFTER INSERT OR UPDATE OR DELETE ON settings
    FOR EACH ROW EXECUTE FUNCTION settings_notify();

-- ---------------------------------------------------------------- conversation
CREATE TABLE fsm (
    bot_id   bigint NOT NULL,
    chat_id  bigint NOT NULL,
    user_id  bigint NOT NULL,
    thread   text   NOT NULL DEFAULT '',        -- thread, business connection and destiny, where there are any
    state    text,
    data     jsonb  NOT NULL DEFAULT '{}',
    PRIMARY KEY (bot_id, chat_id, user_id, thread)
);

CREATE TABLE updates (
    bot_id        bigint      NOT NULL,
    update_id     bigint      NOT NULL,
    claimed_until timestamptz NOT NULL,
    done_at       timestamptz,
    PRIMARY KEY (bot_id, update_id)
);
CREATE INDEX updates_done ON updates (done_at) WHERE done_at IS NOT NULL;
