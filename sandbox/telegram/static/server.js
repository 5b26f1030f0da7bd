// The sandbox's control API over HTTP.
export const prefix = document.documentElement.dataset.prefix;

export class ControlApiError extends Error {}

async function read(answer) {
  const body = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new ControlApiError(body.error || answer.statusText);
  return body;
}

export async function get(path, options = {}) {
  return read(await fetch(`${prefix}/sim/${path}`, options));
}

export async function post(path, body) {
  const form = body instanceof FormData;
  const headers = form ? {} : { 'Content-Type': 'application/json' };
  return read(await fetch(`${prefix}/sim/${path}`, { method: 'POST', headers, body: form ? body : JSON.stringify(body ?? {}) }));
}

export const remove = async (path) => read(await fetch(`${prefix}/sim/${path}`, { method: 'DELETE' }));
export const fileUrl = (id) => `${prefix}/sim/file/${encodeURIComponent(id)}`;
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
