-- What has to be done every hour or day, once: by Inngest's cron or by a process of ours, whoever comes first.

CREATE TABLE chores (
    id            text        NOT NULL,
    slot          timestamptz NOT NULL,          -- when it was due
    plan          text        NOT NULL CHECK (plan IN ('A', 'B')),
    claimed_until timestamptz NOT NULL,          -- a claim runs out by itself, so a death does not lose the slot
    done_at       timestamptz,
    PRIMARY KEY (id, slot)
);

-- Seconds by which a job goes before others that wait: people who have paid wait less, on both plans.
ALTER TABLE jobs ADD COLUMN priority integer NOT NULL DEFAULT 0;
