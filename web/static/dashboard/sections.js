// Renders each section of the live page from the stream's data.

import { all, el, find, setText } from './dom.js';
import { formatCount, formatCredits, formatDateTime, formatDuration } from './formatting.js';

const SIDES = ['A', 'B'];
let names = {};
let now = Date.now() / 1000;

const serviceName = (id) => names[id]?.name ?? id;
const serviceEmoji = (id) => el('span', { class: 'emoji', 'aria-hidden': 'true' }, names[id]?.emoji ?? '·');

export const setNames = (next) => (names = next);
export const setNow = (at) => (now = at);

// ---------------------------------------------------------------- the switch, and the two plans
export function showPlans(plans) {
  markPressed(find('.modes'), plans.mode);
  setText(find('#fell-back'), formatCount(plans.fell_back));
  setText(find('#taken-over'), formatCount(plans.taken_over));
  showInngest(plans);
  const sides = SIDES.map((side) => plans[side]);
  const rows = {
    succeeded: sides.map((side) => [side.succeeded, formatCount(side.succeeded), rate(side)]),
    failed: sides.map((side) => [side.failed, formatCount(side.failed), share(side)]),
    took50: sides.map((side) => timed(side.took?.[0])),
    took95: sides.map((side) => timed(side.took?.[1])),
    waited50: sides.map((side) => timed(side.waited?.[0])),
    waited95: sides.map((side) => timed(side.waited?.[1])),
    running: sides.map((side) => [side.running, formatCount(side.running), '']),
    queued: sides.map((side) => [side.queued, formatCount(side.queued), '']),
  };
  for (const [key, cells] of Object.entries(rows)) {
    const most = Math.max(...cells.map(([number]) => number)) || 1;
    all(`[data-row="${key}"] td`).forEach((cell, side) => {
      const [number, text, more] = cells[side];
      find('i', cell).style.setProperty('--part', number / most);
      const label = find('b', cell);
      if (label.textContent === text + more) return;
      label.replaceChildren(text, ...(more ? [el('small', {}, more)] : []));
    });
  }
}

let inngest = null;
export function showInngest(plans = inngest) {
  if (!plans) return;
  inngest = plans;
  const container = find('#inngest');
  container.dataset.state = plans.healthy ? 'ok' : 'bad';
  const since = formatDuration(Math.max(0, now - plans.since));
  const text = `${plans.healthy ? 'available' : 'unavailable'} for ${since}`;
  const why = plans.healthy ? '' : plans.state.replace(/^unavailable: /, '');
  setText(find('b', container), text);
  setText(find('small', container), why);
  find('small', container).title = why;
}

const timed = (seconds) => [seconds ?? 0, formatDuration(seconds), ''];

function rate({ succeeded }) {
  const perMinute = succeeded / 60;
  return succeeded ? ` ${perMinute < 10 ? perMinute.toFixed(1) : Math.round(perMinute)}/min` : '';
}

function share({ succeeded, failed }) {
  if (!failed) return '';
  const part = (100 * failed) / (succeeded + failed);
  return ` ${part < 10 ? part.toFixed(1) : Math.round(part)} %`;
}

export function markPressed(form, value) {
  for (const button of all('button', form)) button.setAttribute('aria-pressed', String(button.value === value));
}

// ---------------------------------------------------------------- services
let services = [];
export function showServices(next = services) {
  services = next;
  for (const service of services) {
    const row = find(`[data-service="${service.id}"]`);
    if (!row) continue;
    const cell = (name) => find(`[data-cell="${name}"]`, row);
    const chip = find('.plan', cell('goes_to'));
    chip.className = `plan plan-${service.goes_to.toLowerCase()}`;
    setText(chip, service.goes_to);
    put(cell('running'), pair(service.running));
    const waits = service.oldest === null ? [] : [el('small', {}, ` ${formatDuration(now - service.oldest)}`)];
    put(cell('queued'), [...pair(service.queued), ...waits]);
    put(cell('hour'), hour(service));
    markPressed(find('.service-mode', row), service.mode ?? 'follow');
  }
}

function pair(numbers) {
  if (!numbers.A && !numbers.B) return [el('span', { class: 'zero' }, '0')];
  const shown = SIDES.filter((side) => numbers[side]);
  return shown.flatMap((side, i) => [i ? ' ' : '', el('span', { class: `on-${side.toLowerCase()}` }, `${side} ${formatCount(numbers[side])}`)]);
}

function hour({ succeeded, failed }) {
  if (!succeeded && !failed) return [el('span', { class: 'zero' }, '0')];
  return [formatCount(succeeded), ...(failed ? [' ', el('span', { class: 'failed' }, `${formatCount(failed)} failed`)] : [])];
}

function put(cell, children) {
  const text = children.map((child) => child.textContent ?? child).join('');
  if (cell.textContent !== text) cell.replaceChildren(...children);
}

// ---------------------------------------------------------------- money and health
const PAYMENTS = ['payment', 'payments'];
const ORDERS = ['order', 'orders'];
const MOVES = { paid: PAYMENTS, paid_back: PAYMENTS, earned: ORDERS, given_back: ORDERS, gifts: ['bonus', 'bonuses'] };

export function showMoney(sums) {
  for (const container of all('[data-money]')) {
    const { moves, stars: sum } = sums[container.dataset.money];
    const nouns = MOVES[container.dataset.money];
    setText(find('b', container), formatCredits(sum));
    setText(find('small', container), nouns ? `${formatCount(moves)} ${nouns[moves === 1 ? 0 : 1]}` : 'for open orders');
  }
}

const TASKS = { send: '', edit: 'edit · ', delete: 'delete · ' };
const STATES = { draft: 'not started', running: 'runs', paused: 'paused', stopped: 'stopped', done: 'done' };

export function showBroadcast(broadcast) {
  const card = find('#broadcast');
  card.hidden = !broadcast.state;
  if (card.hidden) return;
  const { task, state, total, done, left, failed, blocked, unknown, rate, ended } = broadcast;
  const when = ended ? ` ${formatDateTime(ended)}` : '';
  setText(find('h2 small', card), `${TASKS[task]}${STATES[state]}${when}`);
  find('progress', card).value = total ? (total - left) / total : 0;
  const texts = {
    done: `${formatCount(done)} of ${formatCount(total)}`,
    left: formatCount(left),
    blocked: formatCount(blocked),
    failed: formatCount(failed),
    unknown: formatCount(unknown),
    rate: rate === null ? '–' : rate.toFixed(1),
    time: formatDuration(broadcast.seconds_left),
  };
  for (const [name, text] of Object.entries(texts)) setText(find(`[data-broadcast="${name}"] b`, card), text);
}

export function showHealth(health) {
  if (!health.database) return;
  const { media, voices, words, moderation } = health.providers ?? {};
  const parts = [
    [health.database], [health.telegram], [health.inngest],
    [media?.state, media?.name], [undefined, voices?.name], [undefined, words?.name], [undefined, moderation?.name],
  ];
  all('#health li').forEach((line, i) => {
    const [state, name] = parts[i];
    line.dataset.state = state === undefined ? 'unchecked' : state === 'ok' ? 'ok' : 'bad';
    const problem = state === 'ok' || state === undefined ? '' : state;
    const text = [name, problem].filter(Boolean).join(' · ') || (state === 'ok' ? 'available' : '–');
    setText(find('span', line), text);
    find('span', line).title = text;
  });
}

// ---------------------------------------------------------------- lists
export function showTimeline(events) {
  const lines = events.map(({ kind, at, title, detail, jobs }) =>
    el('li', { class: kind },
      el('b', {}, title),
      el('time', { datetime: new Date(at * 1000).toISOString() }, formatDateTime(at)),
      detail || jobs.length ? el('p', {}, detail, jobs.map((id, i) => [i || detail ? ' · ' : '', jobLink(id)])) : null),
  );
  const empty = el('li', { class: 'empty' }, el('b', {}, 'Nothing has fallen back or been taken over.'),
    'Changes of mode and incidents appear here too.');
  list(find('#timeline'), lines, empty);
}

/** Fill a list. It keeps its height for later lines, unless it has only a few. */
function list(container, lines, empty) {
  container.classList.toggle('few', lines.length < 4);
  container.replaceChildren(...(lines.length ? lines : [empty]));
}

const jobLink = (id) => el('a', { href: `/dashboard/jobs/${id}` }, `${id.slice(0, 8)}…${id.slice(-4)}`);

export function showJobs(jobs) {
  const lines = jobs.map((job) =>
    el('li', {},
      el('a', { href: `/dashboard/jobs/${job.id}` },
        el('b', {}, serviceEmoji(job.service), ` ${serviceName(job.service)}`),
        el('span', { class: 'tags' },
          el('span', { class: `plan plan-${job.plan.toLowerCase()}` }, job.plan), ' ',
          el('span', { class: `state state-${job.state}` }, job.state)),
        el('small', {}, `${formatDateTime(job.created)} · user ${job.user}`),
        el('small', { class: 'tags' }, time(job)))),
  );
  const empty = el('li', { class: 'empty' }, el('b', {}, 'No orders yet.'), 'The first one appears here by itself.');
  list(find('#latest'), lines, empty);
}

function time({ started, ended, created, price }) {
  const took = ended && started ? `${formatDuration(ended - created)} · ` : '';
  return `${took}${formatCredits(price)}`;
}
