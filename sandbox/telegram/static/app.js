// The chat page: one user, one bot, kept up to date by long polling.
import { followCalls, paintFaults, setUpCalls } from './calls.js';
import { answerTo, paintCommands, setUpComposer } from './composer.js';
import { $, paintAvatar, showAlert, toast } from './dom.js';
import { answered, paintReplyKeyboard, setUpPay, setUpReplyKeyboard } from './keyboards.js';
import { setUpViewer } from './media.js';
import { forgetMessages, paintMessages } from './messages.js';
import { chosenPerson, DEFAULT_PERSON, markRead, paintPerson, setUpPeople } from './people.js';
import { get, pause, post } from './server.js';

const ACTIONS = {
  typing: 'typing', upload_photo: 'sending a photo', upload_video: 'sending a video', record_video: 'recording a video',
  upload_voice: 'sending a voice message', record_voice: 'recording a voice message', upload_document: 'sending a file',
  upload_audio: 'sending a track', record_audio: 'recording a track', choose_sticker: 'choosing a sticker', find_location: 'finding a place',
};
const numberIn = (name) => Number(new URLSearchParams(location.search).get(name)) || null;

const chat = {
  id: chosenPerson(),
  person: DEFAULT_PERSON,
  bot: null,
  botId: numberIn('bot'),
  version: null,
  messages: new Map(),
  commands: [],
  blocked: false,
  abort: null,
  botQuery: (sign) => (chat.botId ? `${sign}bot=${chat.botId}` : ''),
  who: () => ({ user_id: chat.id, ...(chat.botId ? { bot: chat.botId } : {}) }),
  act: (what, body) => post(what, { ...chat.who(), ...body }),
  async send(text, more = {}) {
    try {
      await chat.act('message', { text, ...more });
      toEnd();
    } catch (error) { toast(error.message); }
  },
  async upload(form) {
    for (const [name, value] of Object.entries(chat.who())) form.set(name, value);
    await post('message', form);
    toEnd();
  },
  answer: (message) => answerTo(message, chat),
  switchPerson(id) {
    chat.id = id;
    sessionStorage.setItem('person', id);
    history.replaceState(null, '', `${location.pathname}${location.search}#${id}`);
    startOver();
  },
  switchBot(id) {
    chat.botId = id;
    startOver();
  },
};

function startOver() {
  chat.version = null;
  chat.messages.clear();
  answerTo(null);
  forgetMessages();
  chat.abort?.abort();
}

const scroll = $('scroll');
const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 90;
const toEnd = () => { scroll.scrollTop = scroll.scrollHeight; };
let unread = 0;

function paintUnread() {
  $('to-end').hidden = atEnd();
  if (atEnd()) unread = 0;
  $('unread').textContent = unread;
  $('unread').hidden = unread === 0;
}

let actionTimer;
function paintStatus(action) {
  const busy = action && ACTIONS[action];
  $('status').textContent = busy || (chat.bot ? 'bot' : 'no bot has called the sandbox yet');
  $('status').classList.toggle('busy', Boolean(busy));
  clearTimeout(actionTimer);
  if (busy) actionTimer = setTimeout(() => paintStatus(null), 5200);
}

function paint(news, first) {
  chat.bot = news.bot ?? null;
  chat.blocked = news.blocked ?? false;
  chat.commands = news.commands ?? [];
  chat.person = news.chat ?? { ...DEFAULT_PERSON, id: chat.id };
  const name = chat.bot?.first_name ?? 'Waiting for a bot';
  for (const [id, node] of [['bot-name', name], ['empty-name', name]]) $(id).textContent = node;
  for (const id of ['bot-avatar', 'empty-avatar']) {
    paintAvatar($(id), name, chat.bot?.id ?? 3);
    $(id).classList.toggle('brand', /diptych/i.test(name));
    if (/diptych/i.test(name)) $(id).textContent = '';
  }
  $('empty-text').textContent = chat.bot ? news.description || 'Press START to begin.' : 'Point a bot at this address and the chat begins here.';
  paintPerson(chat.person);
  paintStatus(news.action);
  const stick = first || atEnd();
  const before = chat.messages.size;
  for (const message of news.messages) chat.messages.set(message.message_id, message);
  const count = paintMessages(chat, { quiet: first });
  unread += first ? 0 : Math.max(0, chat.messages.size - before);
  $('empty').hidden = count > 0;
  $('messages').hidden = count === 0;
  const fresh = count === 0 && !chat.blocked;
  $('start').hidden = !fresh || !chat.bot;
  $('unblock').hidden = !chat.blocked;
  $('composer-bar').hidden = chat.blocked || (fresh && !news.started);
  paintReplyKeyboard(chat.blocked ? null : news.reply_keyboard, chat);
  paintCommands(chat);
  for (const event of news.events ?? []) showAnswer(event, first);
  if (stick) toEnd();
  paintUnread();
  if (chat.bot) markRead(chat.bot.id, chat.id, news.version);
}

function showAnswer(event, first) {
  if (first || event.user_id !== chat.id) return;
  answered(event.callback_query_id);
  if (event.url) window.open(event.url, '_blank', 'noopener');
  if (!event.text) return;
  if (event.alert) showAlert(event.text);
  else toast(event.text);
}

async function followChat() {
  for (;;) {
    const first = chat.version === null;
    chat.abort = new AbortController();
    const { id } = chat;
    const query = first ? '?wait=0' : `?wait=25&delta=1&after=${chat.version}`;
    try {
      const news = await get(`chat/${id}${query}${chat.botQuery('&')}`, { signal: chat.abort.signal });
      if (id !== chat.id) continue;
      if (!first && news.version < chat.version) { startOver(); continue; }
      const changed = first || news.version !== chat.version;
      chat.version = news.version;
      if (changed) paint(news, first);
      if (!news.bot) { chat.version = null; await pause(1000); }
    } catch (error) {
      if (error.name === 'AbortError') continue;
      $('status').textContent = 'connecting…';
      await pause(1500);
      chat.version = null;
    }
  }
}

setUpCalls();
setUpComposer(chat);
setUpPay();
setUpPeople(chat);
setUpReplyKeyboard();
setUpViewer();
scroll.addEventListener('scroll', paintUnread, { passive: true });
$('to-end').addEventListener('click', () => scroll.scrollTo({ top: scroll.scrollHeight, behavior: 'smooth' }));
new ResizeObserver(([entry]) => {
  const { height } = entry.contentRect;
  const stick = atEnd();
  scroll.style.setProperty('--chat-height', `${height}px`);
  if (stick) toEnd();
}).observe(scroll);
$('messages').addEventListener('load', () => { if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 500) toEnd(); }, true);
window.addEventListener('hashchange', () => chat.id !== chosenPerson() && chat.switchPerson(chosenPerson()));
followChat();
followCalls(paintFaults);
