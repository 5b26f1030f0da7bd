"""An hour of activity for the dashboard to show: two plans, an outage, mode switches, money. All of it in rows."""

from storage.pool import Pool

# Plan A until 30 minutes ago; Inngest is unavailable for 14 minutes and orders fall back; then A again, B now and then.
_JOBS = """
INSERT INTO jobs (id, order_key, service, user_id, bot_name, chat_id, language, inputs, price, state, plan,
                  fell_back, worker_id, epoch, failure, result, created_at, started_at, ended_at, finalized)
SELECT id, 'seed:' || id, service, user_id, 'main', user_id, 'en', inputs, price,
       CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, plan, plan = 'B' AND ago BETWEEN 16 AND 30, 'seed', 1,
       CASE WHEN failed THEN 'failure.busy' END, '{"media": [], "message_ids": [11]}',
       ended - make_interval(secs => waited + took), ended - make_interval(secs => took), ended, true
FROM (
    SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - ago * 60000), 12, '0')
            || '7' || lpad(to_hex(n), 3, '0') || 'a' || substr(md5(n::text || ago), 1, 15))::uuid AS id,
           (ARRAY['text_to_image', 'text_to_image', 'image_to_video', 'speech', 'text_to_video', 'lip_sync',
                  'image_to_prompt', 'neuro_image'])[1 + (n * 7 + ago) % 8] AS service,
           1002 + (n + ago) % 5 AS user_id, (ARRAY[1, 4, 9, 8])[1 + n % 4] AS price, ago,
           '{"prompt": "a lighthouse above a stormy sea"}'::jsonb AS inputs,
           CASE WHEN ago BETWEEN 16 AND 30 OR (n + ago) % 7 = 0 THEN 'B' ELSE 'A' END AS plan,
           (n * 31 + ago * 17) % 29 = 0 AS failed,
           now() - make_interval(mins => ago) AS ended,
           (0.2 + (n * 13 + ago * 5) % 11 / 4.0
            + CASE WHEN ago BETWEEN 27 AND 30 THEN 6 ELSE 0 END)::float8 AS waited,
           (2.1 + (n * 29 + ago * 3) % 37 / 5.0)::float8 AS took
    FROM generate_series(0, 59) AS ago,
         LATERAL generate_series(1, 5 + ((ago * 7) % 9) + (4 * sin(ago / 6.0))::int) AS n
) made"""

_EVENTS = """
UPDATE job_events e SET at = CASE e.kind WHEN 'ended' THEN j.ended_at ELSE j.created_at END
FROM jobs j WHERE j.id = e.job_id"""
_TAKEOVER_EVENTS = """
INSERT INTO job_events (job_id, kind, service, plan, epoch, detail, at)
SELECT id, 'taken_over', service, 'B', 2, 'from A', ended_at - interval '2 seconds'
FROM jobs WHERE fell_back ORDER BY created_at LIMIT 3"""

_LEDGER_TRANSACTIONS = """
WITH moved AS (
    INSERT INTO ledger_transactions (key, kind, user_id, job_id)
    SELECT 'hold:' || id, 'hold', user_id, id FROM jobs WHERE price > 0 UNION ALL
    SELECT 'settle:' || id, CASE state WHEN 'succeeded' THEN 'capture' ELSE 'release' END, user_id, id
    FROM jobs WHERE price > 0
    RETURNING id, kind, user_id, job_id)
INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
SELECT m.id, side.account, CASE WHEN side.account = 'revenue' THEN NULL ELSE m.user_id END, side.sign * j.price
FROM moved m JOIN jobs j ON j.id = m.job_id,
     LATERAL (VALUES (CASE m.kind WHEN 'hold' THEN 'available' ELSE 'held' END, -1),
                     (CASE m.kind WHEN 'hold' THEN 'held' WHEN 'capture' THEN 'revenue' ELSE 'available' END, 1))
         AS side (account, sign)"""

_USERS = """
INSERT INTO users (id, bot_name, language, first_name)
SELECT id, 'main', 'en', (ARRAY['Ben', 'Cleo', 'Dora', 'Emil', 'Fay'])[id - 1001]
FROM generate_series(1002, 1006) AS id"""
_PAYMENTS = """
WITH paid AS (
    INSERT INTO ledger_transactions (key, kind, user_id) SELECT 'seed:' || id, 'topup', id FROM users
    RETURNING *)
INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
SELECT id, 'stars', NULL, -2500 FROM paid UNION ALL SELECT id, 'available', user_id, 2500 FROM paid"""

_INCIDENT_AND_MODES = """
INSERT INTO incidents (kind, opened_at, last_seen_at, closed_at, facts)
VALUES ('fallback', now() - interval '30 minutes', now() - interval '16 minutes', now() - interval '16 minutes',
        '{"why": "unavailable: connection refused", "fell_back": 120, "waiting": 0}');
INSERT INTO settings_log (key, value, changed_by, changed_at)
VALUES ('mode:text_to_video', '"b"', 1001, now() - interval '44 minutes'),
       ('mode:text_to_video', NULL, 1001, now() - interval '12 minutes')"""


async def insert_busy_hour(db: Pool) -> None:
    """Insert it, with a consistent ledger."""
    async with db.acquire() as connection, connection.transaction():
        for statement in (
            _USERS,
            _PAYMENTS,
            _JOBS,
            _LEDGER_TRANSACTIONS,
            _EVENTS,
            _TAKEOVER_EVENTS,
            _INCIDENT_AND_MODES,
        ):
            await connection.execute(statement)
