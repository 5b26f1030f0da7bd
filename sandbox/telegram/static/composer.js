// The composer: text, commands, files, voice messages.
import { $, closeMenu, el, openMenu, playTime, toast } from './dom.js';
import { brief, nameOf } from './messages.js';

const TEXT_LIMIT = 4096; // Telegram's apps split longer texts, and so does this page
const ACCEPT = { photo: 'image/*', video: 'video/*', audio: 'audio/*', document: '' };
let replyTo = null;
let picked = { kind: 'document', files: [] };

export function answerTo(message, chat) {
  replyTo = message;
  $('reply-bar').hidden = !message;
  if (!message) return;
  $('reply-name').textContent = nameOf(message, chat);
  $('reply-text').textContent = brief(message);
  $('composer').focus();
}

function fit() {
  const box = $('composer');
  box.style.height = 'auto';
  box.style.height = `${Math.min(box.scrollHeight, 160)}px`;
  const some = box.value.trim() !== '';
  $('send').hidden = !some;
  $('record').hidden = some || !canRecord();
  if (!canRecord()) $('send').hidden = false;
}

function takeReply() {
  const reply = replyTo ? { reply_to: replyTo.message_id } : {};
  answerTo(null);
  return reply;
}

async function sendText(chat) {
  const text = $('composer').value.trim();
  if (!text) return;
  $('composer').value = '';
  closeCommands();
  fit();
  const reply = takeReply();
  for (let at = 0; at < text.length; at += TEXT_LIMIT) await chat.send(text.slice(at, at + TEXT_LIMIT), reply);
}

const closeCommands = () => { if (!$('command-list').hidden) closeMenu($('command-list'), $('commands')); };

function listCommands(chat, typed = '') {
  const found = chat.commands.filter((command) => command.command.startsWith(typed));
  if (!found.length) return closeCommands();
  $('command-list').replaceChildren(...found.map((command) => el('button', { type: 'button', role: 'option', 'data-command': command.command, onclick: () => { closeCommands(); $('composer').value = ''; fit(); chat.send(`/${command.command}`); } },
    el('b', {}, `/${command.command}`), el('span', {}, command.description))));
  if ($('command-list').hidden) openMenu($('command-list'), $('commands'));
  return undefined;
}

export function paintCommands(chat) {
  $('commands').hidden = chat.commands.length === 0;
}

function pick(files, kind) {
  if (!files.length) return;
  picked = { kind, files: [...files].slice(0, 10) };
  const many = picked.files.length > 1;
  $('caption-title').textContent = many ? `Send ${picked.files.length} files` : `Send ${kind === 'document' ? 'a file' : `${kind === 'audio' ? 'an' : 'a'} ${kind}`}`;
  $('caption-preview').replaceChildren(...picked.files.map((file) => {
    const url = URL.createObjectURL(file);
    if (kind === 'photo') return el('img', { src: url, alt: file.name });
    if (kind === 'video') return el('video', { src: url, muted: true, autoplay: true, loop: true });
    return el('span', {}, file.name);
  }));
  $('caption').value = '';
  $('caption-sheet').showModal();
}

const kindOf = (file) => (file.type === 'image/gif' ? 'animation' : { image: 'photo', video: 'video', audio: 'audio' }[file.type.split('/')[0]] ?? 'document');

async function sendFiles(chat) {
  const { kind, files } = picked;
  const album = files.length > 1 ? String(Date.now()) + Math.floor(Math.random() * 1000) : null;
  const reply = takeReply();
  for (const [index, file] of files.entries()) {
    const form = new FormData();
    form.set('kind', kind === 'photo' ? kindOf(file).replace('document', 'photo') : kind);
    if (album) form.set('media_group_id', album);
    if (index === 0 && $('caption').value.trim()) form.set('caption', $('caption').value.trim());
    if (reply.reply_to) form.set('reply_to', reply.reply_to);
    form.set('file', file, file.name);
    await chat.upload(form).catch((error) => toast(error.message));
  }
}

const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
let recorder = null;

async function startRecording(chat) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    toast('No microphone here. Attach an audio file instead.');
    return;
  }
  const type = ['audio/ogg;codecs=opus', 'audio/webm;codecs=opus', 'audio/mp4'].find((name) => MediaRecorder.isTypeSupported(name));
  const started = Date.now();
  const chunks = [];
  recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
  const timer = setInterval(() => { $('record-time').value = playTime((Date.now() - started) / 1000); }, 200);
  recorder.addEventListener('dataavailable', (event) => chunks.push(event.data));
  recorder.addEventListener('stop', async () => {
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    $('recording').hidden = true;
    $('record').classList.remove('live');
    const seconds = Math.max(1, Math.round((Date.now() - started) / 1000));
    const { cancelled } = recorder;
    recorder = null;
    if (cancelled) return;
    const kind = (type ?? 'audio/webm').split(';')[0];
    const form = new FormData();
    form.set('kind', 'voice');
    form.set('duration', seconds);
    form.set('file', new Blob(chunks, { type: kind }), `voice.${kind.split('/')[1].replace('ogg', 'oga')}`);
    await chat.upload(form).catch((error) => toast(error.message));
  });
  recorder.start();
  $('record-time').value = '0:00';
  $('recording').hidden = false;
  $('record').classList.add('live');
}

function stopRecording(cancelled) {
  if (!recorder) return;
  recorder.cancelled = cancelled;
  recorder.stop();
}

export function setUpComposer(chat) {
  const box = $('composer');
  box.addEventListener('input', () => {
    fit();
    const command = /^\/(\w*)$/.exec(box.value);
    if (command) listCommands(chat, command[1].toLowerCase());
    else closeCommands();
  });
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      sendText(chat).catch((error) => toast(error.message));
    }
    if (event.key === 'Escape') answerTo(null);
  });
  box.addEventListener('paste', (event) => {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      pick(event.clipboardData.files, kindOf(event.clipboardData.files[0]));
    }
  });
  $('composer-bar').addEventListener('submit', (event) => { event.preventDefault(); sendText(chat).catch((error) => toast(error.message)); });
  $('commands').addEventListener('click', () => ($('command-list').hidden ? listCommands(chat) : closeCommands()));
  $('reply-cancel').addEventListener('click', () => answerTo(null));
  $('start').addEventListener('click', () => chat.send('/start'));
  $('unblock').addEventListener('click', () => chat.act('block', { blocked: false }));
  $('attach').addEventListener('click', () => ($('attach-menu').hidden ? openMenu($('attach-menu'), $('attach')) : closeMenu($('attach-menu'), $('attach'))));
  for (const button of $('attach-menu').querySelectorAll('button')) {
    button.addEventListener('click', () => {
      closeMenu($('attach-menu'), $('attach'));
      picked.kind = button.dataset.kind;
      $('file').accept = ACCEPT[picked.kind];
      $('file').multiple = picked.kind !== 'audio';
      $('file').value = '';
      $('file').click();
    });
  }
  $('file').addEventListener('change', () => pick($('file').files, picked.kind));
  $('caption-cancel').addEventListener('click', () => $('caption-sheet').close());
  $('caption-form').addEventListener('submit', (event) => { event.preventDefault(); $('caption-sheet').close(); sendFiles(chat); });
  $('record').addEventListener('click', () => (recorder ? stopRecording(false) : startRecording(chat)));
  $('record-cancel').addEventListener('click', () => stopRecording(true));
  setUpDrop();
  fit();
}

function setUpDrop() {
  let inside = 0;
  const phone = $('phone');
  phone.addEventListener('dragenter', (event) => { event.preventDefault(); inside += 1; $('drop').hidden = false; });
  phone.addEventListener('dragleave', () => { inside -= 1; if (inside <= 0) $('drop').hidden = true; });
  phone.addEventListener('dragover', (event) => event.preventDefault());
  phone.addEventListener('drop', (event) => {
    event.preventDefault();
    inside = 0;
    $('drop').hidden = true;
    if (event.dataTransfer.files.length) pick(event.dataTransfer.files, kindOf(event.dataTransfer.files[0]));
  });
}
