// Switching plans without leaving the page. Without this script the forms do the same by themselves.

import { all, find, say } from './dom.js';
import { press } from './sections.js';

export function switchPlans(toast) {
  for (const form of all('form[data-switch]')) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      set(form, event.submitter, toast);
    });
  }
}

async function set(form, button, toast) {
  const body = new URLSearchParams(new FormData(form, button));
  button.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(form.action, {
      method: 'POST',
      body,
      headers: { Accept: 'application/json', 'X-Action-Token': find('meta[name=action-token]').content },
    });
    const { said } = await answer.json();
    if (answer.ok) press(form, button.value);
    tell(toast, said);
  } catch {
    tell(toast, 'Nothing was switched: the bot did not answer.');
  } finally {
    button.removeAttribute('aria-busy');
  }
}

let hiding = 0;
function tell(toast, words) {
  say(toast, words);
  toast.classList.add('shown');
  clearTimeout(hiding);
  hiding = setTimeout(() => toast.classList.remove('shown'), 4000);
}
