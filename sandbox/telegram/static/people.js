// The user who writes: several users, one at a time.
import { $, closeMenu, el, icon, openMenu, paintAvatar, toast } from './dom.js';
import { get, post, prefix } from './server.js';

export const DEFAULT_PERSON = { id: 1001, first_name: 'Alex', language_code: 'en' };
const readVersions = new Map();

export function chosenPerson() {
  return Number(/^#(\d+)/.exec(location.hash)?.[1] ?? sessionStorage.getItem('person') ?? DEFAULT_PERSON.id);
}

export const markRead = (bot, id, version) => readVersions.set(`${bot}:${id}`, version);

export function paintPerson(person) {
  $('person-name').textContent = person.first_name;
  paintAvatar($('person-avatar'), person.first_name, person.id);
}

export async function openPeople(chat) {
  const state = await get('state');
  const people = state.people.some((person) => person.id === DEFAULT_PERSON.id) ? state.people : [DEFAULT_PERSON, ...state.people];
  const entry = (person) => {
    const avatar = el('span', { class: 'avatar small' });
    paintAvatar(avatar, person.first_name, person.id);
    const there = state.chats.find((other) => other.id === person.id && other.bot === chat.bot?.id);
    const unread = there && person.id !== chat.id && there.messages && there.version > (readVersions.get(`${there.bot}:${there.id}`) ?? 0);
    return el('button', { type: 'button', role: 'menuitem', 'data-person': person.id, class: person.id === chat.id ? 'active' : '', onclick: () => { closeMenu($('people-menu'), $('person')); chat.switchPerson(person.id); } },
      avatar, person.first_name, unread ? el('span', { class: 'badge', title: 'New messages' }) : el('span', { class: 'note' }, person.language_code ?? ''));
  };
  const bots = state.bots.length > 1 ? [el('hr'), el('h3', {}, 'Bots'), ...state.bots.map((bot) => el('button', { type: 'button', 'data-bot': bot.id, class: bot.id === chat.bot?.id ? 'active' : '', onclick: () => { closeMenu($('people-menu'), $('person')); chat.switchBot(bot.id); } }, `@${bot.username}`))] : [];
  $('people-menu').replaceChildren(
    el('h3', {}, 'You are'), ...people.map(entry),
    el('button', { type: 'button', id: 'add-person', onclick: () => { closeMenu($('people-menu'), $('person')); $('person-form').reset(); $('person-sheet').showModal(); } }, icon('add'), 'Add a user'),
    ...bots, el('hr'),
    el('button', { type: 'button', id: 'read-transcript', onclick: () => window.open(`${prefix}/sim/chat/${chat.id}?format=text${chat.botQuery('&')}`, '_blank', 'noopener') }, icon('text'), 'Transcript as text'),
    el('button', { type: 'button', id: 'block-bot', class: 'danger', onclick: () => { closeMenu($('people-menu'), $('person')); chat.act('block', { blocked: !chat.blocked }).catch((error) => toast(error.message)); } }, icon('block'), chat.blocked ? 'Unblock the bot' : 'Block the bot'),
  );
  openMenu($('people-menu'), $('person'));
}

export function setUpPeople(chat) {
  $('person').addEventListener('click', () => ($('people-menu').hidden ? openPeople(chat) : closeMenu($('people-menu'), $('person'))));
  $('person-cancel').addEventListener('click', () => $('person-sheet').close());
  $('person-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const { people } = await get('people');
    const id = Math.max(DEFAULT_PERSON.id, ...people.map((person) => person.id)) + 1;
    const username = $('new-username').value.trim();
    await post('people', { id, first_name: $('new-name').value.trim(), language_code: $('new-language').value.trim() || 'en', ...(username ? { username } : {}) });
    $('person-sheet').close();
    chat.switchPerson(id);
  });
}
