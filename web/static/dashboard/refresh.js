// Keeps the parts of a page that change up to date: each part with `data-refresh` is fetched anew that often, in
// seconds, and put in where it says something else. What is open or has the focus is left alone.

import { all } from './dom.js';
import { moment } from './words.js';

function localTimes(root) {
  for (const time of all('time[datetime]', root)) {
    const at = Date.parse(time.dateTime) / 1000;
    const seconds = new Date(at * 1000).getSeconds();
    time.title = time.textContent;
    time.textContent = 'short' in time.dataset ? moment(at) : `${moment(at)}:${String(seconds).padStart(2, '0')}`;
  }
}

const busy = (part) => part.contains(document.activeElement) || part.querySelector('details[open]') !== null;
const said = new Map();

async function keepFresh() {
  for (let parts = all('[data-refresh]'); parts.length; parts = all('[data-refresh]')) {
    const seconds = Math.min(...parts.map((part) => Number(part.dataset.refresh)));
    await new Promise((done) => setTimeout(done, seconds * 1000));
    if (!document.hidden) await renew();
  }
}

async function renew() {
  const page = new URL(location.href);
  page.searchParams.delete('done');
  let answer;
  try {
    answer = await fetch(page, { headers: { Accept: 'text/html' } });
  } catch {
    return; // the bot is away for a moment; the next try comes by itself
  }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  for (const part of all('[data-refresh]')) {
    const newer = fresh.getElementById(part.id);
    if (!newer || busy(part) || said.get(part.id) === newer.outerHTML) continue;
    said.set(part.id, newer.outerHTML);
    localTimes(newer);
    part.replaceWith(newer);
  }
}

for (const part of all('[data-refresh]')) said.set(part.id, part.outerHTML);
localTimes(document);
keepFresh();
