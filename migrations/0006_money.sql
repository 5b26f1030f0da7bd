-- Refunds, debts, subscriptions, invitations, promo codes; and errands: jobs that nobody ordered.

-- ---------------------------------------------------------------- errands
-- What follows a payment, a broadcast, a step of the game: the same lease, journal and plans as an order's.
ALTER TABLE jobs ADD COLUMN errand boolean NOT NULL DEFAULT false;

-- How often the job's event was sent anew because Inngest had lost its run: a new id each time, as Inngest drops
-- one that it has seen.
ALTER TABLE jobs ADD COLUMN sendings integer NOT NULL DEFAULT 0;

-- ---------------------------------------------------------------- people
ALTER TABLE users
    ADD COLUMN blocked        boolean NOT NULL DEFAULT false,  -- by an admin; Telegram's own block is `active`
    ADD COLUMN terms_at       timestamptz,                     -- when the person agreed to the terms
    ADD COLUMN invited_by     bigint REFERENCES users CHECK (invited_by <> id),
    ADD COLUMN discount       integer NOT NULL DEFAULT 0 CHECK (discount BETWEEN 0 AND 90),  -- percent
    ADD COLUMN discount_until timestamptz,
    ADD COLUMN notes          text NOT NULL DEFAULT '';
CREATE INDEX users_invited_by ON users (invited_by) WHERE invited_by IS NOT NULL;

-- ---------------------------------------------------------------- debts
-- A refund may take back credits that are spent. The balance stays at zero, and what is missing is owed.
ALTER TABLE ledger_postings
    DROP CONSTRAINT ledger_postings_account_check,
    DROP CONSTRAINT ledger_postings_check,
    ADD CONSTRAINT ledger_postings_account_check
        CHECK (account IN ('available', 'held', 'debt', 'revenue', 'stars', 'bonuses', 'refunds')),
    ADD CONSTRAINT ledger_postings_check CHECK ((account IN ('available', 'held', 'debt')) = (user_id IS NOT NULL));
ALTER TABLE balances ADD COLUMN debt bigint NOT NULL DEFAULT 0 CONSTRAINT debt_not_negative CHECK (debt >= 0);

CREATE OR REPLACE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Not an upsert: its CHECK would see the delta alone before it saw the row it adds to.
    -- A debt is what the person's account is short of: its postings are negative, the balance's column is not.
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

-- ---------------------------------------------------------------- payments
ALTER TABLE topups
    ADD COLUMN subscription text,                -- the plan that this payment begins, NULL for a pack
    ADD COLUMN resume       jsonb;               -- the order that was short of credits, and goes on by itself

CREATE INDEX topups_unconfirmed ON topups (checked_at) WHERE paid_at IS NULL AND checked_at IS NOT NULL;

-- Every charge that was credited; a subscription has one a month.
CREATE TABLE charges (
    id         text PRIMARY KEY,                 -- Telegram's
    topup_id   uuid REFERENCES topups,           -- NULL: its payload is not ours
    user_id    bigint      NOT NULL REFERENCES users,
    bot_name   text        NOT NULL,
    stars      integer     NOT NULL CHECK (stars > 0),
    recurring  boolean     NOT NULL DEFAULT false,  -- Telegram took it by itself for a running subscription
    created_at timestamptz NOT NULL DEFAULT now(),
    refunded_at timestamptz
);
CREATE INDEX charges_user ON charges (user_id, created_at DESC);
INSERT INTO charges (id, topup_id, user_id, bot_name, stars, created_at)
    SELECT charge_id, id, user_id, bot_name, stars, paid_at FROM topups WHERE charge_id IS NOT NULL;

-- The outbox of refunds: asked for once, tried until Telegram has done it.
CREATE TABLE refunds (
    charge_id     text PRIMARY KEY REFERENCES charges,
    asked_by      bigint      NOT NULL,
    asked_at      timestamptz NOT NULL DEFAULT now(),
    attempts      integer     NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT now(),  -- when it may be tried (again)
    done_at       timestamptz,
    error         text NOT NULL DEFAULT ''       -- why it can never be done, or the last failure
);
CREATE INDEX refunds_open ON refunds (next_at) WHERE done_at IS NULL;

-- ---------------------------------------------------------------- subscriptions
CREATE TABLE subscriptions (
    id          uuid PRIMARY KEY,                -- the topup's that began it
    user_id     bigint      NOT NULL REFERENCES users,
    bot_name    text        NOT NULL,
    plan        text        NOT NULL,
    charge_id   text        NOT NULL,            -- of its first payment: Telegram names the subscription by it
    expires_at  timestamptz NOT NULL,
    cancelled   boolean     NOT NULL DEFAULT false,  -- runs out at expires_at
    told_expiry timestamptz                      -- the expires_at whose coming the person was told of
);
CREATE INDEX subscriptions_user ON subscriptions (user_id, expires_at DESC);
CREATE INDEX subscriptions_expiry ON subscriptions (expires_at);

-- ---------------------------------------------------------------- promo codes
CREATE TABLE promo_codes (
    code       text PRIMARY KEY CHECK (code = upper(code)),
    credits    integer     NOT NULL CHECK (credits > 0),
    uses       integer     NOT NULL CHECK (uses > 0),
    used       integer     NOT NULL DEFAULT 0 CHECK (used <= uses),
    until      timestamptz NOT NULL,
    created_by bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE promo_redemptions (
    code        text   NOT NULL REFERENCES promo_codes,
    user_id     bigint NOT NULL REFERENCES users,
    redeemed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (code, user_id)
);

CREATE INDEX ledger_transactions_created ON ledger_transactions (created_at);  -- money today
