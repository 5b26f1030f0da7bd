// Helpers for building the page.
const HUES = [212, 268, 336, 18, 150, 190, 245, 358];
export const $ = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'html') node.innerHTML = value; // only HTML that the server has sanitized
    else if (key === 'class') node.className = value;
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.append(document.createElementNS('http://www.w3.org/2000/svg', 'use'));
  svg.firstChild.setAttribute('href', `#i-${name}`);
  return svg;
}

export function paintAvatar(node, name, id) {
  node.textContent = [...(name || '?').trim()][0].toUpperCase();
  node.style.setProperty('--hue', String(HUES[Math.abs(Number(id)) % HUES.length]));
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });
export const playTime = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

export function day(seconds) {
  const date = new Date(seconds * 1000);
  if (date.toDateString() === new Date().toDateString()) return 'Today';
  return date.toLocaleDateString([], { day: 'numeric', month: 'long' });
}

export function fileSize(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} kB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

let toastTimer;
export function toast(text, seconds = 3) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, seconds * 1000);
}

export function showAlert(text) {
  $('alert-text').textContent = text;
  if (!$('alert').open) $('alert').showModal();
}

// A menu that closes on Escape or on a click outside it.
export function openMenu(menu, opener) {
  menu.hidden = false;
  opener?.setAttribute('aria-expanded', 'true');
  const close = (event) => {
    if (event.type === 'keydown' ? event.key !== 'Escape' : opener?.contains(event.target)) return;
    if (event.type === 'pointerdown' && menu.contains(event.target)) return;
    closeMenu(menu, opener);
  };
  menu.closer = close;
  document.addEventListener('pointerdown', close);
  document.addEventListener('keydown', close);
}

export function closeMenu(menu, opener) {
  menu.hidden = true;
  opener?.setAttribute('aria-expanded', 'false');
  document.removeEventListener('pointerdown', menu.closer);
  document.removeEventListener('keydown', menu.closer);
}
