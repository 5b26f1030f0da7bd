-- Payments in Telegram Stars: what was offered, and which charge paid it.

CREATE TABLE topups (
    id         uuid PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users,
    bot_name   text        NOT NULL,
    stars      integer     NOT NULL CHECK (stars > 0),
    charge_id  text UNIQUE,                      -- Telegram's, once it is paid
    created_at timestamptz NOT NULL DEFAULT now(),
    paid_at    timestamptz
);
CREATE INDEX topups_user ON topups (user_id, created_at DESC);
