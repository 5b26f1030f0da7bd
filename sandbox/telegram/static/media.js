// Files in messages: photos, videos, voice messages, audio, documents, and the viewer.
import { $, el, fileSize, icon, playTime } from './dom.js';
import { fileUrl } from './server.js';

let playing = null;

export function renderMedia(message, photos) {
  const media = message.media[0];
  const url = fileUrl(media.file_id);
  switch (media.kind) {
    case 'photo': return photo(message, media, url, photos);
    case 'video': return el('video', { class: 'video', src: url, controls: true, preload: 'metadata', playsinline: true, style: ratio(media) });
    case 'animation': return media.mime_type === 'image/gif'
      ? photo(message, media, url, photos)
      : el('video', { class: 'video', src: url, autoplay: true, loop: true, muted: true, playsinline: true, style: ratio(media) });
    case 'video_note': return el('video', { class: 'round-video', src: url, controls: true, playsinline: true });
    case 'sticker': return media.size < 200
      ? el('div', { class: 'sticker' }, media.emoji || '🖼')
      : el('img', { class: 'sticker', src: url, alt: media.emoji || 'Sticker' });
    case 'voice': return voice(media, url);
    case 'audio': return track(media, url);
    default: return el('a', { class: 'doc', href: url, download: media.file_name || 'file' },
      el('span', { class: 'play' }, icon('file')),
      el('span', { class: 'side' }, el('b', {}, media.file_name || 'File'), el('small', {}, fileSize(media.size || 0))));
  }
}

function ratio(media) {
  if (!media.width || !media.height) return null;
  const shape = Math.min(Math.max(media.width / media.height, 0.62), 2.4);
  return `aspect-ratio: ${shape.toFixed(3)}`;
}

function photo(message, media, url, photos) {
  const image = el('img', { src: url, alt: message.caption || 'Picture', loading: 'lazy', decoding: 'async' });
  return el('button', { class: 'image', type: 'button', style: ratio(media), onclick: () => openViewer(message, photos()) }, image);
}

function player(url, button, paint) {
  const sound = new Audio(url);
  sound.preload = 'metadata';
  const show = () => {
    button.replaceChildren(icon(sound.paused ? 'play' : 'pause'));
    paint(sound.currentTime, Number.isFinite(sound.duration) ? sound.duration : 0);
  };
  for (const name of ['play', 'pause', 'timeupdate', 'loadedmetadata', 'ended']) sound.addEventListener(name, show);
  sound.addEventListener('ended', () => { sound.currentTime = 0; });
  button.addEventListener('click', () => {
    if (!sound.paused) return sound.pause();
    if (playing && playing !== sound) playing.pause();
    playing = sound;
    return sound.play();
  });
  return sound;
}

const seek = (sound, event) => {
  const box = event.currentTarget.getBoundingClientRect();
  if (Number.isFinite(sound.duration)) sound.currentTime = ((event.clientX - box.left) / box.width) * sound.duration;
};

// A waveform made from the file's id: the same for the same file, without decoding it.
function heights(id, count) {
  let seed = [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  return Array.from({ length: count }, (_, index) => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    const swell = 0.55 + 0.45 * Math.sin((index / count) * Math.PI * 3 + (seed % 7));
    return 14 + Math.round(((seed >>> 8) % 100) * 0.86 * Math.abs(swell));
  });
}

function voice(media, url) {
  const button = el('button', { class: 'play', type: 'button', title: 'Play' }, icon('play'));
  const bars = heights(media.file_id, 38).map((height) => el('i', { style: `height: ${height}%` }));
  const wave = el('div', { class: 'wave' }, ...bars);
  const time = el('small', {}, playTime(media.duration || 0));
  const sound = player(url, button, (at, of) => {
    const total = of || media.duration || 0;
    bars.forEach((bar, index) => bar.classList.toggle('done', total > 0 && index / bars.length < at / total));
    time.textContent = playTime(at > 0 ? at : total);
  });
  wave.addEventListener('click', (event) => seek(sound, event));
  return el('div', { class: 'voice' }, button, el('div', { class: 'side' }, wave, time));
}

function track(media, url) {
  const button = el('button', { class: 'play', type: 'button', title: 'Play' }, icon('play'));
  const done = el('i');
  const bar = el('div', { class: 'bar' }, done);
  const time = el('small', {}, `${playTime(media.duration || 0)}${media.performer ? ` · ${media.performer}` : ''}`);
  const sound = player(url, button, (at, of) => {
    const total = of || media.duration || 0;
    done.style.width = total ? `${(at / total) * 100}%` : '0';
    time.textContent = `${at > 0 ? `${playTime(at)} / ` : ''}${playTime(total)}${media.performer ? ` · ${media.performer}` : ''}`;
  });
  bar.addEventListener('click', (event) => seek(sound, event));
  return el('div', { class: 'track' }, button, el('div', { class: 'side' }, el('b', {}, media.title || media.file_name || 'Audio'), bar, time));
}

let shown = { list: [], index: 0 };

function openViewer(message, list) {
  shown = { list, index: Math.max(0, list.findIndex((other) => other.message_id === message.message_id)) };
  paintViewer();
  $('viewer').showModal();
}

function paintViewer() {
  const message = shown.list[shown.index];
  const media = message.media[0];
  $('viewer-image').src = fileUrl(media.file_id);
  $('viewer-caption').textContent = message.caption || '';
  $('viewer-save').href = fileUrl(media.file_id);
  $('viewer-save').download = `picture-${message.message_id}`;
  $('viewer-prev').hidden = shown.index === 0;
  $('viewer-next').hidden = shown.index === shown.list.length - 1;
}

function turn(by) {
  const next = shown.index + by;
  if (next < 0 || next >= shown.list.length) return;
  shown.index = next;
  paintViewer();
}

export function setUpViewer() {
  $('viewer-close').addEventListener('click', () => $('viewer').close());
  $('viewer-prev').addEventListener('click', () => turn(-1));
  $('viewer-next').addEventListener('click', () => turn(1));
  $('viewer').addEventListener('click', (event) => { if (event.target.closest('figure') && event.target.tagName !== 'IMG') $('viewer').close(); });
  $('viewer').addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') turn(-1);
    if (event.key === 'ArrowRight') turn(1);
  });
}
