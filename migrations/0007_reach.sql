-- Broadcasts, notifications, the game of Leela, and what people set.

-- ---------------------------------------------------------------- settings of a person
ALTER TABLE users
    ADD COLUMN news        boolean NOT NULL DEFAULT true,   -- wants broadcasts
    ADD COLUMN quiet_from  integer CHECK (quiet_from BETWEEN 0 AND 23),   -- hour, UTC; NULL: no quiet hours
    ADD COLUMN quiet_until integer CHECK (quiet_until BETWEEN 0 AND 23),
    ADD COLUMN utc_offset  integer CHECK (utc_offset BETWEEN 0 AND 23),    -- hours that their clock is ahead of UTC
    ADD COLUMN returned_at timestamptz;                                    -- wrote again after they had been gone

-- ---------------------------------------------------------------- broadcasts
CREATE TABLE broadcasts (
    id           uuid PRIMARY KEY,
    admin_id     bigint      NOT NULL,
    bot_name     text        NOT NULL,           -- of the admin's chat: message ids are its own, so it sends all
    state        text        NOT NULL DEFAULT 'draft'
                 CHECK (state IN ('draft', 'running', 'paused', 'stopped', 'done')),
    task         text        NOT NULL DEFAULT 'send' CHECK (task IN ('send', 'edit', 'delete')),
    content      jsonb       NOT NULL DEFAULT '{}',  -- by language, or under "*" for all
    audience     jsonb       NOT NULL DEFAULT '{}',
    change       jsonb       NOT NULL DEFAULT '{}',  -- of an edit: which version, and its new text
    paid         boolean     NOT NULL DEFAULT false, -- 1000 a second, for Stars: allow_paid_broadcast
    runs         integer     NOT NULL DEFAULT 0,     -- how often it was started or resumed: the errand's key
    runner       uuid,                           -- the step at work; an older one finds nothing to claim any more
    wait_until   timestamptz,                    -- Telegram asked for a pause until then
    progress_message_id bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    ended_at     timestamptz
);
-- One at a time, so that one pacer keeps Telegram's limit.
CREATE UNIQUE INDEX broadcasts_one_running ON broadcasts ((true)) WHERE state = 'running';
CREATE INDEX broadcasts_created ON broadcasts (created_at DESC);

CREATE TABLE broadcast_recipients (
    broadcast_id uuid   NOT NULL REFERENCES broadcasts ON DELETE CASCADE,
    user_id      bigint NOT NULL REFERENCES users,
    version      text   NOT NULL,                -- which key of the broadcast's content
    -- `sending` is written before the call. Who finds it after a death cannot know whether the message went out:
    -- it becomes `unknown` and is not sent again.
    state        text   NOT NULL DEFAULT 'waiting'
                 CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'blocked', 'unknown')),
    runner       uuid,                           -- the step that marked it `sending`
    message_ids  bigint[] NOT NULL DEFAULT '{}',
    revision     text CHECK (revision IN ('waiting', 'done', 'refused')),  -- of the edit or delete that came last
    error        text NOT NULL DEFAULT '',
    at           timestamptz,
    PRIMARY KEY (broadcast_id, user_id)
);
CREATE INDEX broadcast_recipients_waiting ON broadcast_recipients (broadcast_id, user_id) WHERE state = 'waiting';
CREATE INDEX broadcast_recipients_sending ON broadcast_recipients (broadcast_id) WHERE state = 'sending';
CREATE INDEX broadcast_recipients_revised ON broadcast_recipients (broadcast_id, user_id) WHERE revision = 'waiting';

-- ---------------------------------------------------------------- notifications
CREATE TABLE notifications (
    key        text PRIMARY KEY,                 -- the same thing is told once
    user_id    bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at    timestamptz
);

-- ---------------------------------------------------------------- Leela
CREATE TABLE leela_games (
    id         uuid PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users,
    bot_name   text        NOT NULL,
    state      jsonb       NOT NULL,             -- services/leela/rules.py: Game
    -- What comes next: the person's tap, the die in the air, the person's report, our reply to it.
    awaits     text        NOT NULL DEFAULT 'roll' CHECK (awaits IN ('roll', 'dice', 'report', 'reply')),
    moves      integer     NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);
CREATE UNIQUE INDEX leela_games_open ON leela_games (user_id) WHERE ended_at IS NULL;

CREATE TABLE leela_moves (
    game_id   uuid     NOT NULL REFERENCES leela_games ON DELETE CASCADE,
    number    integer  NOT NULL,
    roll      integer  NOT NULL CHECK (roll BETWEEN 1 AND 6),
    start     integer  NOT NULL,
    over      integer  NOT NULL,
    square    integer  NOT NULL,
    direction text     NOT NULL CHECK (direction IN ('step', 'snake', 'arrow', 'stop', 'win')),
    report    text,
    reply     text,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (game_id, number)
);
