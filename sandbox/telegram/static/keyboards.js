// Inline keyboards, reply keyboards, and the dialog that pays an invoice.
import { $, el, icon, toast } from './dom.js';
import { get } from './server.js';

const waiting = new Map(); // callback_query_id -> button

export function inlineKeyboard(message, chat) {
  const rows = message.keyboard.map((row) => el('div', { class: 'row' }, ...row.map((button) => inlineButton(button, message, chat))));
  return el('div', { class: 'keyboard' }, ...rows);
}

function inlineButton(button, message, chat) {
  const paid = button.pay && message.invoice?.paid;
  const node = el('button', {
    type: 'button',
    'data-callback': button.callback_data,
    'data-url': button.url,
    'data-pay': button.pay && !paid,
    'data-style': button.style,
  }, paid ? 'Receipt' : button.text.replaceAll('⭐️', '⭐'));
  if (button.url || button.web_app) node.append(icon('link'));
  node.addEventListener('click', () => press(node, button, message, chat));
  return node;
}

async function press(node, button, message, chat) {
  if (button.pay) return message.invoice?.paid ? toast('This invoice is paid.') : openPay(message.invoice, { message_id: message.message_id }, chat);
  if (button.url) return followLink(button.url, chat);
  if (button.web_app) return void window.open(button.web_app.url, '_blank', 'noopener');
  if (button.copy_text) return copy(button.copy_text.text);
  if (button.switch_inline_query_current_chat !== undefined) {
    $('composer').value = `@${chat.bot.username} ${button.switch_inline_query_current_chat}`;
    return $('composer').focus();
  }
  if (!button.callback_data) return toast('The sandbox cannot do this button.');
  node.classList.add('busy');
  try {
    const answer = await chat.act('callback', { data: button.callback_data, message_id: message.message_id });
    for (const id of answer.callback_query_ids) waiting.set(id, node);
    setTimeout(() => node.classList.remove('busy'), 10_000);
  } catch (error) {
    node.classList.remove('busy');
    toast(error.message);
  }
  return undefined;
}

export function answered(callbackQueryId) {
  waiting.get(callbackQueryId)?.classList.remove('busy');
  waiting.delete(callbackQueryId);
}

export function followLink(url, chat) {
  const invoice = /^https?:\/\/t\.me\/(\$[\w-]+)/.exec(url);
  if (invoice) return payLink(invoice[1], chat);
  const shared = /^https?:\/\/t\.me\/share\/url\?(.*)/.exec(url);
  if (shared) return copy(new URLSearchParams(shared[1]).get('url'));
  const start = /^https?:\/\/t\.me\/(\w+)\?start=([\w-]+)/.exec(url);
  if (start && start[1] === chat.bot?.username) return chat.send(`/start ${start[2]}`);
  return void window.open(url, '_blank', 'noopener');
}

async function copy(text) {
  await navigator.clipboard?.writeText(text);
  toast('Copied');
}

async function payLink(slug, chat) {
  try {
    openPay(await get(`invoice/${encodeURIComponent(slug)}`), { link: slug }, chat);
  } catch (error) { toast(error.message); }
}

let paying = null;

export function openPay(invoice, body, chat) {
  const monthly = Boolean(invoice.subscription_period);
  const stars = `${invoice.amount} ${invoice.amount === 1 ? 'Star' : 'Stars'}${monthly ? ' a month' : ''}`;
  paying = { body, chat, label: `${monthly ? 'Subscribe' : 'Confirm and pay'} ⭐ ${invoice.amount}` };
  $('pay-text').replaceChildren(
    monthly ? 'Do you want to subscribe to ' : 'Do you want to buy ', el('b', {}, invoice.title),
    ' in ', el('b', {}, chat.bot.first_name), ' for ', el('b', {}, stars), '?',
  );
  $('pay-error').hidden = true;
  $('pay-confirm').disabled = false;
  $('pay-confirm').textContent = paying.label;
  if (!$('pay-sheet').open) $('pay-sheet').showModal();
}

async function pay() {
  $('pay-confirm').disabled = true;
  $('pay-confirm').textContent = 'Paying…';
  try {
    const answer = await paying.chat.act('pay', paying.body);
    if (!answer.paid) throw new Error(answer.error_message);
    $('pay-sheet').close();
    toast('⭐ Payment successful');
  } catch (error) {
    $('pay-error').textContent = error.message;
    $('pay-error').hidden = false;
    $('pay-confirm').textContent = 'Try again';
    $('pay-confirm').disabled = false;
  }
}

export function setUpPay() {
  $('pay-confirm').addEventListener('click', pay);
  $('pay-cancel').addEventListener('click', () => $('pay-sheet').close());
}

let hiddenByPerson = false;

export function paintReplyKeyboard(markup, chat) {
  const has = Boolean(markup?.keyboard);
  const key = JSON.stringify(markup ?? null);
  $('keyboard-toggle').hidden = !has;
  if ($('reply-keyboard').dataset.key !== key) {
    $('reply-keyboard').dataset.key = key;
    hiddenByPerson = false;
    $('reply-keyboard').replaceChildren(...(markup?.keyboard ?? []).map((row) => el('div', { class: 'row' },
      ...row.map((button) => el('button', { type: 'button', onclick: () => pressReply(button, chat) }, button.text)))));
  }
  $('reply-keyboard').hidden = !has || hiddenByPerson;
  $('composer').placeholder = markup?.input_field_placeholder || 'Message';
}

async function pressReply(button, chat) {
  if (button.request_contact) {
    return chat.act('message', { extra: { contact: { phone_number: '+10000000000', first_name: chat.person.first_name, user_id: chat.person.id } } });
  }
  if (button.request_location) return chat.act('message', { extra: { location: { latitude: 48.8584, longitude: 2.2945 } } });
  return chat.send(button.text);
}

export function setUpReplyKeyboard() {
  $('keyboard-toggle').addEventListener('click', () => {
    hiddenByPerson = !$('reply-keyboard').hidden;
    $('reply-keyboard').hidden = hiddenByPerson;
  });
}
