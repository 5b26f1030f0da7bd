// Keeps parts of a page up to date: the page is fetched at the shortest interval in `data-refresh`, in seconds, and each
// part that has changed is replaced. A part that is expanded or has the focus is left alone.

import { all } from './dom.js';
import { formatDateTime } from './formatting.js';

function localTimes(root) {
  for (const time of all('time[datetime]', root)) {
    const at = Date.parse(time.dateTime) / 1000;
    const seconds = new Date(at * 1000).getSeconds();
    time.title = time.textContent;
    time.textContent = 'short' in time.dataset ? formatDateTime(at) : `${formatDateTime(at)}:${String(seconds).padStart(2, '0')}`;
  }
}

const inUse = (part) => part.contains(document.activeElement) || part.querySelector('details[open]') !== null;
const rendered = new Map();

async function refreshLoop() {
  for (let parts = all('[data-refresh]'); parts.length; parts = all('[data-refresh]')) {
    const seconds = Math.min(...parts.map((part) => Number(part.dataset.refresh)));
    await new Promise((done) => setTimeout(done, seconds * 1000));
    if (!document.hidden) await refreshParts();
  }
}

async function refreshParts() {
  const page = new URL(location.href);
  page.searchParams.delete('done');
  let answer;
  try {
    answer = await fetch(page, { headers: { Accept: 'text/html' } });
  } catch {
    return; // the bot is unavailable for a moment; the loop tries again
  }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  for (const part of all('[data-refresh]')) {
    const newer = fresh.getElementById(part.id);
    if (!newer || inUse(part) || rendered.get(part.id) === newer.outerHTML) continue;
    rendered.set(part.id, newer.outerHTML);
    localTimes(newer);
    part.replaceWith(newer);
  }
}

for (const part of all('[data-refresh]')) rendered.set(part.id, part.outerHTML);
localTimes(document);
refreshLoop();
