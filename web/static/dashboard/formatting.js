// Formats numbers and times. Times are in the reader's own time zone; durations are in seconds.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const pad = (number) => String(number).padStart(2, '0');

export const formatCount = (number) => whole.format(number).replaceAll(',', '\u202f');
export const formatCredits = (number) => `${formatCount(number)} ⭐`;

/** A duration, such as 42 ms, 9.5 s or 2 h 1 min; a dash for none. */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 0.9995) return `${Math.round(Math.max(0, seconds) * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

/** 14:32 */
export function formatTime(at) {
  const date = new Date(at * 1000);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** 14:32, with the date if it is not today. */
export function formatDateTime(at) {
  const date = new Date(at * 1000);
  if (date.toDateString() === new Date().toDateString()) return formatTime(at);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${formatTime(at)}`;
}
