// What each section of the live page shows, from what the stream says.

import { all, el, find, say } from './dom.js';
import { count, lasting, moment, stars } from './words.js';

const SIDES = ['A', 'B'];
let names = {};
let now = Date.now() / 1000;

const serviceName = (id) => names[id]?.name ?? id;
const emojiOf = (id) => el('span', { class: 'emoji', 'aria-hidden': 'true' }, names[id]?.emoji ?? '·');

export const setNames = (given) => (names = given);
export const setNow = (at) => (now = at);

// ---------------------------------------------------------------- the switch, and the two plans
export function showPlans(plans) {
  press(find('.modes'), plans.mode);
  say(find('#fell-back'), count(plans.fell_back));
  say(find('#taken-over'), count(plans.taken_over));
  showInngest(plans);
  const sides = SIDES.map((side) => plans[side]);
  const rows = {
    succeeded: sides.map((side) => [side.succeeded, count(side.succeeded), rate(side)]),
    failed: sides.map((side) => [side.failed, count(side.failed), share(side)]),
    took50: sides.map((side) => timed(side.took?.[0])),
    took95: sides.map((side) => timed(side.took?.[1])),
    waited50: sides.map((side) => timed(side.waited?.[0])),
    waited95: sides.map((side) => timed(side.waited?.[1])),
    running: sides.map((side) => [side.running, count(side.running), '']),
    queued: sides.map((side) => [side.queued, count(side.queued), '']),
  };
  for (const [key, cells] of Object.entries(rows)) {
    const most = Math.max(...cells.map(([number]) => number)) || 1;
    all(`[data-row="${key}"] td`).forEach((cell, side) => {
      const [number, text, more] = cells[side];
      find('i', cell).style.setProperty('--part', number / most);
      const said = find('b', cell);
      if (said.textContent === text + more) return;
      said.replaceChildren(text, ...(more ? [el('small', {}, more)] : []));
    });
  }
}

let inngest = null;
export function showInngest(plans = inngest) {
  if (!plans) return;
  inngest = plans;
  const place = find('#inngest');
  place.dataset.state = plans.healthy ? 'ok' : 'bad';
  const since = lasting(Math.max(0, now - plans.since));
  const words = `${plans.healthy ? 'well' : 'away'} for ${since}`;
  const why = plans.healthy ? '' : plans.state.replace(/^away: /, '');
  say(find('b', place), words);
  say(find('small', place), why);
  find('small', place).title = why;
}

const timed = (seconds) => [seconds ?? 0, lasting(seconds), ''];

function rate({ succeeded }) {
  const perMinute = succeeded / 60;
  return succeeded ? ` ${perMinute < 10 ? perMinute.toFixed(1) : Math.round(perMinute)}/min` : '';
}

function share({ succeeded, failed }) {
  if (!failed) return '';
  const part = (100 * failed) / (succeeded + failed);
  return ` ${part < 10 ? part.toFixed(1) : Math.round(part)} %`;
}

export function press(form, value) {
  for (const button of all('button', form)) button.setAttribute('aria-pressed', String(button.value === value));
}

// ---------------------------------------------------------------- services
let services = [];
export function showServices(given = services) {
  services = given;
  for (const service of services) {
    const row = find(`[data-service="${service.id}"]`);
    if (!row) continue;
    const cell = (name) => find(`[data-cell="${name}"]`, row);
    const chip = find('.plan', cell('goes_to'));
    chip.className = `plan plan-${service.goes_to.toLowerCase()}`;
    say(chip, service.goes_to);
    put(cell('running'), pair(service.running));
    const waits = service.oldest === null ? [] : [el('small', {}, ` ${lasting(now - service.oldest)}`)];
    put(cell('queued'), [...pair(service.queued), ...waits]);
    put(cell('hour'), hour(service));
    press(find('.own', row), service.mode ?? 'follow');
  }
}

function pair(numbers) {
  if (!numbers.A && !numbers.B) return [el('span', { class: 'zero' }, '0')];
  const shown = SIDES.filter((side) => numbers[side]);
  return shown.flatMap((side, i) => [i ? ' ' : '', el('span', { class: `on-${side.toLowerCase()}` }, `${side} ${count(numbers[side])}`)]);
}

function hour({ succeeded, failed }) {
  if (!succeeded && !failed) return [el('span', { class: 'zero' }, '0')];
  return [count(succeeded), ...(failed ? [' ', el('span', { class: 'failed' }, `${count(failed)} failed`)] : [])];
}

function put(cell, children) {
  const text = children.map((child) => child.textContent ?? child).join('');
  if (cell.textContent !== text) cell.replaceChildren(...children);
}

// ---------------------------------------------------------------- money and health
const MOVES = { paid: 'payment', paid_back: 'payment', earned: 'order', given_back: 'order', gifts: 'gift' };

export function showMoney(sums) {
  for (const place of all('[data-money]')) {
    const { moves, stars: sum } = sums[place.dataset.money];
    const what = MOVES[place.dataset.money];
    say(find('b', place), stars(sum));
    say(find('small', place), what ? `${count(moves)} ${what}${moves === 1 ? '' : 's'}` : 'for open orders');
  }
}

const TASKS = { send: '', edit: 'edit · ', delete: 'delete · ' };
const STATES = { draft: 'not begun', running: 'runs', paused: 'paused', stopped: 'stopped', done: 'done' };

export function showBroadcast(broadcast) {
  const card = find('#broadcast');
  card.hidden = !broadcast.state;
  if (card.hidden) return;
  const { task, state, total, done, left, failed, blocked, unknown, rate, ended } = broadcast;
  const when = ended ? ` ${moment(ended)}` : '';
  say(find('h2 small', card), `${TASKS[task]}${STATES[state]}${when}`);
  find('progress', card).value = total ? (total - left) / total : 0;
  const texts = {
    done: `${count(done)} of ${count(total)}`,
    left: count(left),
    blocked: count(blocked),
    failed: count(failed),
    unknown: count(unknown),
    rate: rate === null ? '–' : rate.toFixed(1),
    time: lasting(broadcast.seconds_left),
  };
  for (const [name, text] of Object.entries(texts)) say(find(`[data-broadcast="${name}"] b`, card), text);
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
    line.dataset.state = state === undefined ? 'unasked' : state === 'ok' ? 'ok' : 'bad';
    const said = state === 'ok' || state === undefined ? '' : state;
    const words = [name, said].filter(Boolean).join(' · ') || (state === 'ok' ? 'well' : '–');
    say(find('span', line), words);
    find('span', line).title = words;
  });
}

// ---------------------------------------------------------------- lists
export function showMoments(moments) {
  const lines = moments.map(({ kind, at, title, detail, jobs }) =>
    el('li', { class: kind },
      el('b', {}, title),
      el('time', { datetime: new Date(at * 1000).toISOString() }, moment(at)),
      detail || jobs.length ? el('p', {}, detail, jobs.map((id, i) => [i || detail ? ' · ' : '', jobLink(id)])) : null),
  );
  const empty = el('li', { class: 'empty' }, el('b', {}, 'Nothing has fallen back or been taken over.'),
    'Changes of mode and incidents appear here too.');
  list(find('#moments'), lines, empty);
}

/** Both lists keep their place free for what comes; where there is little, the place is not held. */
function list(place, lines, empty) {
  place.classList.toggle('few', lines.length < 4);
  place.replaceChildren(...(lines.length ? lines : [empty]));
}

const jobLink = (id) => el('a', { href: `/dashboard/jobs/${id}` }, `${id.slice(0, 8)}…${id.slice(-4)}`);

export function showJobs(jobs) {
  const lines = jobs.map((job) =>
    el('li', {},
      el('a', { href: `/dashboard/jobs/${job.id}` },
        el('b', {}, emojiOf(job.service), ` ${serviceName(job.service)}`),
        el('span', { class: 'tags' },
          el('span', { class: `plan plan-${job.plan.toLowerCase()}` }, job.plan), ' ',
          el('span', { class: `state state-${job.state}` }, job.state)),
        el('small', {}, `${moment(job.created)} · person ${job.user}`),
        el('small', { class: 'tags' }, time(job)))),
  );
  const empty = el('li', { class: 'empty' }, el('b', {}, 'Nobody has ordered yet.'), 'The first order appears here by itself.');
  list(find('#latest'), lines, empty);
}

function time({ started, ended, created, price }) {
  const took = ended && started ? `${lasting(ended - created)} · ` : '';
  return `${took}${stars(price)}`;
}
