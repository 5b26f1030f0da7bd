// The live page: receives changes from one stream while the page is visible.

import { Chart } from './chart.js';
import { all, find, setText } from './dom.js';
import { formatTime } from './formatting.js';
import * as show from './sections.js';
import { switchPlans } from './switch.js';

const chart = new Chart(find('#chart'), find('#readout'), find('#minutes'));
const live = find('#live');
let stream = null;
let lastPulse = 0;

const sections = {
  names: show.setNames,
  plans: show.showPlans,
  services: show.showServices,
  minutes: (minutes) => chart.show(minutes),
  money: show.showMoney,
  broadcast: show.showBroadcast,
  health: show.showHealth,
  jobs: show.showJobs,
  timeline(events) {
    show.showTimeline(events);
    chart.setEvents(events);
  },
  trouble({ database }) {
    const trouble = find('#trouble');
    trouble.hidden = !database;
    if (database) setText(trouble, `The database cannot be reached just now; these numbers are from ${formatTime(lastPulse)}. Orders that were accepted are safe in it.`);
  },
  pulse({ at }) {
    lastPulse = at;
    show.setNow(at);
    show.showInngest();
    show.showServices();
    setStatus('ok', 'Live');
  },
};

function setStatus(state, text) {
  live.dataset.state = state;
  setText(find('span', live), text);
}

function open() {
  if (stream) return;
  stream = new EventSource('/dashboard/stream');
  for (const [name, take] of Object.entries(sections)) {
    stream.addEventListener(name, (event) => take(JSON.parse(event.data)));
  }
  stream.addEventListener('error', () => {
    if (stream?.readyState === EventSource.CLOSED) {
      setStatus('bad', 'Signed out');
      const trouble = find('#trouble');
      trouble.hidden = false;
      setText(trouble, 'Your visit has ended, or the bot is restarting. Reload the page, or send /dashboard to the bot for a new link.');
    } else {
      setStatus('waiting', 'Reconnecting…');
    }
  });
}

function close() {
  stream?.close();
  stream = null;
  setStatus('waiting', 'Paused');
}

document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
all('#metric input').forEach((input) => input.addEventListener('change', () => chart.selectMetric(input.value)));
const picked = find('#metric input:checked');
if (picked) chart.metric = picked.value; // browsers keep the choice across a reload
find('details.as-table').addEventListener('toggle', () => chart.render());
switchPlans(find('#toast'));
if (!document.hidden) open();
