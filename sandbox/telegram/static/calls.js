// The panel of Bot API calls next to the chat, and the form that makes calls fail.
import { $, el, toast } from './dom.js';
import { get, pause, post, remove } from './server.js';

const KEPT = 400;
const calls = [];
let since = 0;
let opened = null;

function brief(call) {
  const { params } = call;
  const text = params.text ?? params.caption ?? params.action ?? params.emoji ?? params.url ?? params.title;
  if (call.status !== 200) return call.answer.description ?? '';
  if (text) return String(text).replace(/\s+/g, ' ').slice(0, 160);
  if (call.method === 'getUpdates') return call.answer.length ? `${call.answer.length} update${call.answer.length > 1 ? 's' : ''}` : '';
  return params.message_id ? `message ${params.message_id}` : '';
}

function highlighted(value) {
  const text = JSON.stringify(value, null, 2) ?? 'null';
  const pre = el('pre');
  const pattern = /("(?:\\.|[^"\\])*")(\s*:)?|\b(-?\d+(?:\.\d+)?|true|false|null)\b/g;
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    pre.append(text.slice(at, match.index));
    if (match[1]) pre.append(el('span', { class: match[2] ? 'k' : 's' }, match[1]), match[2] ?? '');
    else pre.append(el('span', { class: 'n' }, match[3]));
    at = match.index + match[0].length;
  }
  pre.append(text.slice(at));
  return pre;
}

function row(call, fresh) {
  const at = new Date(call.time * 1000).toLocaleTimeString([], { hour12: false });
  const head = el('button', { type: 'button', 'aria-expanded': String(opened === call.seq) },
    el('time', {}, at), el('span', { class: 'name' }, call.method), el('span', { class: 'brief' }, brief(call)),
    el('span', { class: 'code' }, String(call.status)), el('span', { class: 'ms' }, `${call.took < 10 ? call.took.toFixed(1) : Math.round(call.took)} ms`));
  const item = el('li', { class: `call${call.status === 200 ? '' : ' bad'}${fresh ? ' fresh' : ''}`, 'data-method': call.method, 'data-seq': call.seq }, head);
  head.addEventListener('click', () => { opened = opened === call.seq ? null : call.seq; paint(); });
  if (opened === call.seq) item.append(el('div', { class: 'more' }, el('h4', {}, 'Parameters'), highlighted(call.params), el('h4', {}, 'Answer'), highlighted(call.answer)));
  return item;
}

function visible() {
  const words = $('calls-filter').value.trim().toLowerCase();
  return calls.filter((call) => {
    if (call.method === 'getUpdates' && !$('calls-polls').checked) return false;
    return !words || `${call.method} ${call.status} ${brief(call)}`.toLowerCase().includes(words);
  });
}

function paint(newest = Infinity) {
  const shown = visible();
  $('calls-count').textContent = calls.length ? `${shown.length} call${shown.length === 1 ? '' : 's'}, newest first` : 'no calls yet';
  $('call-list').replaceChildren(...(shown.length ? shown.slice(-150).reverse().map((call) => row(call, call.seq >= newest)) : [el('p', { id: 'call-none' }, 'The calls of the bot appear here.')]));
  const names = new Set(calls.map((call) => call.method));
  $('fault-methods').replaceChildren(...[...names].map((name) => el('option', { value: name })));
}

export async function followCalls(onChange) {
  for (;;) {
    try {
      const { seq, calls: found } = await get(`outbox?since=${since}&wait=${since ? 25 : 0}&limit=${KEPT}`);
      if (seq < since) { calls.length = 0; since = 0; continue; }
      const newest = since ? since + 1 : Infinity;
      since = seq;
      calls.push(...found);
      calls.splice(0, Math.max(0, calls.length - KEPT));
      if (found.length || newest === Infinity) paint(newest);
      if (found.some((call) => call.method !== 'getUpdates')) onChange();
      if (since === 0) await pause(1000);
    } catch {
      await pause(1500);
    }
  }
}

function showFaults(faults) {
  $('fault-state').textContent = faults.map((fault) => `${fault.method === '*' ? 'any method' : fault.method} → ${fault.drop ? 'lost answer' : fault.code}${fault.left > 1 ? ` ×${fault.left}` : ''}`).join(', ');
}

export async function paintFaults() {
  showFaults((await get('state')).faults);
}

export function setUpCalls() {
  $('calls-filter').addEventListener('input', () => paint());
  $('calls-polls').addEventListener('change', () => paint());
  const toggle = (open) => { $('calls').classList.toggle('open', open); $('toggle-calls').setAttribute('aria-pressed', String(open)); };
  $('toggle-calls').addEventListener('click', () => toggle(!$('calls').classList.contains('open')));
  $('close-calls').addEventListener('click', () => toggle(false));
  for (const button of $('fault-form').querySelectorAll('[data-code], [data-drop]')) {
    button.addEventListener('click', async () => {
      const order = button.dataset.drop ? { drop: true, after: true } : { code: Number(button.dataset.code) };
      if (order.code === 429) order.retry_after = 3;
      try {
        showFaults((await post('fault', { method: $('fault-method').value.trim() || '*', ...order })).faults);
      } catch (error) { toast(error.message); }
    });
  }
  $('fault-clear').addEventListener('click', async () => { await remove('fault'); showFaults([]); });
  $('fault-form').addEventListener('submit', (event) => event.preventDefault());
}
