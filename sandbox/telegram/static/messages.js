// The transcript: messages, albums, days and service lines, redrawn only where something has changed.
import { $, clock, day, el, icon, toast } from './dom.js';
import { followLink, inlineKeyboard } from './keyboards.js';
import { renderMedia } from './media.js';

const SHOWN_AT_ONCE = 200;
const nodes = new Map(); // block key -> { node, signature }
let limit = SHOWN_AT_ONCE;
let seen = 0;

export function forgetMessages() {
  nodes.clear();
  limit = SHOWN_AT_ONCE;
  seen = 0;
  $('messages').replaceChildren();
}

export function paintMessages(chat, { quiet = false } = {}) {
  const all = [...chat.messages.values()].filter((message) => !message.deleted).sort((a, b) => a.message_id - b.message_id);
  const blocks = toBlocks(all.slice(-limit));
  const wanted = [];
  if (all.length > limit) wanted.push(keyed('earlier', '', () => el('button', { id: 'earlier', type: 'button', onclick: () => { limit += SHOWN_AT_ONCE; paintMessages(chat, { quiet: true }); } }, 'Show earlier messages')));
  blocks.forEach((block, index) => {
    const before = blocks[index - 1];
    const date = day(block[0].date);
    const newDay = !before || day(before[0].date) !== date;
    if (newDay) wanted.push(keyed(`day ${date}`, '', () => el('div', { class: 'day' }, date)));
    const first = newDay || !joins(before, block);
    const last = !blocks[index + 1] || !joins(block, blocks[index + 1]);
    const signature = `${block.map((message) => `${message.message_id}.${message.version}`).join(',')} ${first} ${last}`;
    const fresh = !quiet && block[0].message_id > seen;
    wanted.push(keyed(`m${block[0].message_id}`, signature, () => render(block, chat, { first, last, fresh })));
  });
  seen = Math.max(seen, ...all.map((message) => message.message_id));
  arrange($('messages'), wanted);
  const keep = new Set(wanted);
  for (const [key, entry] of nodes) if (!keep.has(entry.node)) nodes.delete(key);
  return all.length;
}

function keyed(key, signature, make) {
  const known = nodes.get(key);
  if (known && known.signature === signature) return known.node;
  const node = make();
  nodes.set(key, { node, signature });
  return node;
}

function arrange(parent, wanted) {
  wanted.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastChild.remove();
}

function toBlocks(messages) {
  const blocks = [];
  for (const message of messages) {
    const last = blocks.at(-1);
    const group = message.media_group_id;
    if (group && last?.[0].media_group_id === group && last[0].from === message.from && isImageOrVideo(message)) last.push(message);
    else blocks.push([message]);
  }
  return blocks;
}

const isImageOrVideo = (message) => ['photo', 'video'].includes(message.media[0]?.kind);
const isService = (message) => Boolean(message.successful_payment || message.refunded_payment || message.pinned_message);
const joins = (a, b) => a[0].user.id === b[0].user.id && !isService(a[0]) && !isService(b[0]) && b[0].date - a.at(-1).date < 300;

function render(block, chat, flags) {
  const message = block[0];
  if (isService(message)) return serviceLine(message, chat);
  const texts = block.filter((part) => part.html);
  const withMedia = message.media.length > 0;
  const framed = withMedia && ['photo', 'video', 'animation'].includes(message.media[0].kind);
  const bare = isBare(message);
  const classes = ['message', message.from === 'bot' ? 'in' : 'out', flags.first && 'first', flags.last && 'last', flags.fresh && 'fresh',
    framed && 'has-media', framed && !texts.length && 'overlay', texts.length && 'has-text', bare && 'bare'].filter(Boolean);
  const bubble = el('div', { class: 'bubble' });
  if (chat.id < 0 && message.from !== 'bot' && flags.first) bubble.append(el('div', { class: 'sender' }, message.user.first_name));
  if (message.forwarded) bubble.append(el('div', { class: 'forwarded' }, 'Forwarded message'));
  if (message.reply_to) bubble.append(quote(message.reply_to, chat));
  const photos = () => [...chat.messages.values()].filter((other) => !other.deleted && other.media[0]?.kind === 'photo').sort((a, b) => a.message_id - b.message_id);
  if (block.length > 1) bubble.append(album(block, photos));
  else if (withMedia) bubble.append(renderMedia(message, photos));
  if (message.dice) bubble.append(el('div', { class: 'dice' }, el('i', {}, message.dice.emoji), el('b', {}, String(message.dice.value))));
  if (message.invoice) bubble.append(invoice(message.invoice));
  if (message.location) bubble.append(el('div', { class: 'text' }, `📍 ${message.location.latitude}, ${message.location.longitude}`));
  if (message.contact) bubble.append(el('div', { class: 'text' }, `👤 ${message.contact.first_name} ${message.contact.phone_number}`));
  for (const part of texts) bubble.append(text(part, chat, bare));
  if (message.reactions.length) bubble.append(el('div', { class: 'reactions' }, ...message.reactions.map((emoji) => el('span', {}, emoji))));
  bubble.append(meta(block));
  const node = el('article', { class: classes.join(' '), 'data-id': message.message_id, 'data-from': message.from, 'data-kind': kindOf(message) }, bubble);
  if (message.keyboard.length) node.append(inlineKeyboard(message, chat));
  node.append(el('button', { class: 'round answer', type: 'button', title: 'Reply', onclick: () => chat.answer(message) }, icon('reply')));
  return node;
}

const kindOf = (message) => message.media[0]?.kind ?? (message.dice ? 'dice' : message.invoice ? 'invoice' : 'text');

function isBare(message) {
  if (message.dice || ['sticker', 'video_note'].includes(message.media[0]?.kind)) return true;
  const only = message.media.length || message.invoice || message.reply_to ? '' : message.text;
  return Boolean(only) && /^(\p{Extended_Pictographic}|\p{Emoji_Component}){1,9}$/u.test(only) && !/\d/.test(only) && [...new Intl.Segmenter().segment(only)].length <= 3;
}

function text(message, chat, bare) {
  const node = el('div', { class: bare ? 'big' : 'text', html: message.html });
  node.style.setProperty('--meta', `${46 + (message.edited ? 40 : 0) + (message.from === 'bot' ? 0 : 20)}px`);
  node.addEventListener('click', (event) => {
    const target = event.target;
    if (target.closest('.spoiler')) target.closest('.spoiler').classList.add('shown');
    else if (target.closest('blockquote[expandable]')) target.closest('blockquote').classList.toggle('open');
    else if (target.classList.contains('bot_command')) chat.send(target.textContent);
    else if (target.closest('a')) {
      event.preventDefault();
      followLink(target.closest('a').href, chat);
    }
  });
  return node;
}

function meta(block) {
  const message = block.at(-1);
  const edited = block.some((part) => part.edited);
  return el('div', { class: 'meta' }, edited ? el('i', { class: 'edited' }, 'edited') : null,
    el('time', { datetime: new Date(message.date * 1000).toISOString() }, clock(message.date)), message.from === 'bot' ? null : icon('check'));
}

function quote(id, chat) {
  const other = chat.messages.get(id);
  const node = el('button', { class: 'quote', type: 'button' }, el('b', {}, other ? nameOf(other, chat) : 'Deleted message'), el('span', {}, other ? brief(other) : ''));
  node.addEventListener('click', () => {
    const target = document.querySelector(`.message[data-id="${id}"]`);
    target?.scrollIntoView({ block: 'center', behavior: 'smooth' });
    target?.classList.add('flash');
    setTimeout(() => target?.classList.remove('flash'), 1300);
  });
  return node;
}

export const nameOf = (message, chat) => (message.from === 'bot' ? chat.bot.first_name : message.user.first_name);
export function brief(message) {
  const kinds = { photo: '🖼 Photo', video: '🎬 Video', voice: '🎤 Voice message', audio: '🎵 Audio', document: '📎 File', sticker: 'Sticker', animation: 'GIF', video_note: 'Video message' };
  return message.text || message.caption || kinds[message.media[0]?.kind] || (message.invoice ? `⭐ ${message.invoice.title}` : 'Message');
}

function album(block, photos) {
  const count = block.length;
  return el('div', { class: `album${count > 5 ? ' many' : ''}`, 'data-count': count }, ...block.map((message) => {
    const node = renderMedia(message, photos);
    node.removeAttribute('style');
    if (node.matches('.image')) return node;
    return el('div', { class: 'image' }, node);
  }));
}

function invoice(details) {
  return el('div', { class: 'invoice' }, el('h3', {}, details.title), el('span', { class: 'price' }, `⭐ ${details.amount}${details.paid ? ' · paid' : ''}`), el('p', {}, details.description));
}

function serviceLine(message, chat) {
  const paid = message.successful_payment;
  const back = message.refunded_payment;
  let line = '📌 A message was pinned';
  if (paid) line = `You paid ⭐ ${paid.total_amount}${paid.is_recurring ? ' for a subscription' : ''}`;
  if (back) line = `⭐ ${back.total_amount} came back to you`;
  const node = el('div', { class: 'service', 'data-id': message.message_id, 'data-kind': paid ? 'successful_payment' : 'service' }, line);
  if (paid?.is_recurring) node.append(' ', el('button', { type: 'button', onclick: () => passMonth(chat) }, 'Let a month pass'));
  return node;
}

async function passMonth(chat) {
  try {
    await chat.act('subscription/renew', {});
  } catch (error) { toast(error.message); }
}
