// Switches plans without leaving the page. Without this script, the forms do the same.

import { all, find, setText } from './dom.js';
import { markPressed } from './sections.js';

export function switchPlans(toast) {
  for (const form of all('form[data-switch]')) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      submitSwitch(form, event.submitter, toast);
    });
  }
}

async function submitSwitch(form, button, toast) {
  const body = new URLSearchParams(new FormData(form, button));
  button.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(form.action, {
      method: 'POST',
      body,
      headers: { Accept: 'application/json', 'X-Action-Token': find('meta[name=action-token]').content },
    });
    const { message } = await answer.json();
    if (answer.ok) markPressed(form, button.value);
    showToast(toast, message);
  } catch {
    showToast(toast, 'Nothing was switched: the bot did not answer.');
  } finally {
    button.removeAttribute('aria-busy');
  }
}

let hiding = 0;
function showToast(toast, text) {
  setText(toast, text);
  toast.classList.add('shown');
  clearTimeout(hiding);
  hiding = setTimeout(() => toast.classList.remove('shown'), 4000);
}
