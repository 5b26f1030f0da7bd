// The live page: one stream of what has changed, for as long as the page is looked at.

import { Chart } from './chart.js';
import { all, find, say } from './dom.js';
import * as show from './sections.js';
import { switchPlans } from './switch.js';
import { clock } from './words.js';

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
  moments(moments) {
    show.showMoments(moments);
    chart.mark(moments);
  },
  trouble({ database }) {
    const trouble = find('#trouble');
    trouble.hidden = !database;
    if (database) say(trouble, `The database cannot be reached just now; these numbers are from ${clock(lastPulse)}. Orders that were accepted are safe in it.`);
  },
  pulse({ at }) {
    lastPulse = at;
    show.setNow(at);
    show.showInngest();
    show.showServices();
    status('ok', 'Live');
  },
};

function status(state, words) {
  live.dataset.state = state;
  say(find('span', live), words);
}

function open() {
  if (stream) return;
  stream = new EventSource('/dashboard/stream');
  for (const [name, take] of Object.entries(sections)) {
    stream.addEventListener(name, (event) => take(JSON.parse(event.data)));
  }
  stream.addEventListener('error', () => {
    if (stream?.readyState === EventSource.CLOSED) {
      status('bad', 'Signed out');
      const trouble = find('#trouble');
      trouble.hidden = false;
      say(trouble, 'Your visit has ended, or the bot is restarting. Reload the page, or send /dashboard to the bot for a new link.');
    } else {
      status('waiting', 'Reconnecting…');
    }
  });
}

function close() {
  stream?.close();
  stream = null;
  status('waiting', 'Paused');
}

document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
all('#metric input').forEach((input) => input.addEventListener('change', () => chart.pick(input.value)));
const picked = find('#metric input:checked');
if (picked) chart.metric = picked.value; // browsers keep it over a reload
find('details.as-table').addEventListener('toggle', () => chart.render());
switchPlans(find('#toast'));
if (!document.hidden) open();
