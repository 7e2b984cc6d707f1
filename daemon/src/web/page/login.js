// Logging in: name and password, or the one-time ticket in the address that `sekisho review` prints.

import { Refused, post } from './api.js';
import { everySecond, fill, h, icon, say } from './dom.js';
import { join, span, t } from './words.js';

const TICKET = /^#ticket=([A-Za-z0-9_.~-]{1,200})$/;

/** The ticket of the address, if any. It is gone from the address and from this tab's history before anybody uses it. */
export function takeTicket() {
  const found = TICKET.exec(location.hash);
  if (location.hash.startsWith('#ticket=')) history.replaceState(null, '', location.pathname);
  return found?.[1] ?? null;
}

/** What is said about a refused log-in. */
function words(error, byTicket) {
  if (error.status === 401 || error.status === 400) return t(byTicket ? 'login.ticket.used' : 'login.wrong');
  if (error.status === 429) return t('login.tries');
  return join(t(`refused.${error.kind}`), t(`todo.${error.kind}`));
}

/** The log-in. `why`: a key of the words said first (`login.over`), `done(session)` is called once. */
export class LoginView {
  constructor(why, name, done) {
    Object.assign(this, { done, topics: [] });
    this.problem = h('p', { class: 'problem', role: 'alert', id: 'problem', hidden: true });
    this.name = h('input', { id: 'name', name: 'name', type: 'text', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false', required: true, maxlength: 64, value: name ?? '', 'aria-describedby': 'problem' });
    this.password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true, maxlength: 1024, 'aria-describedby': 'problem' });
    this.button = h('button', { type: 'submit', class: 'primary' }, t('login.do'));
    const form = h('form', { class: 'login', on: { submit: (event) => this.submit(event) } },
      h('h1', { tabindex: '-1' }, t('login.title')), why ? h('p', { class: 'hint' }, icon('info'), h('span', {}, t(why))) : null, this.problem,
      h('label', { for: 'name' }, t('login.name')), this.name,
      h('label', { for: 'password' }, t('login.password')), this.password,
      this.button, h('p', { class: 'quiet-line' }, t('login.help')));
    this.element = h('section', { class: 'view login-view' }, form);
  }

  /** Presents a ticket instead. */
  async present(ticket) {
    await this.send('/api/ticket', { ticket }, true);
  }

  async submit(event) {
    event.preventDefault();
    if (!this.name.value.trim() || !this.password.value) return;
    await this.send('/api/login', { name: this.name.value.trim(), password: this.password.value }, false);
  }

  async send(path, body, byTicket) {
    this.button.disabled = true;
    say(this.button, t('login.checking'));
    try {
      this.done(await post(path, body));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refuse(error, byTicket);
    }
  }

  refuse(error, byTicket) {
    const until = performance.now() + (error.status === 429 ? Math.max(1, error.retryAfterS) * 1000 : 0);
    say(this.button, t('login.do'));
    this.problem.hidden = false;
    const text = h('span', {}, words(error, byTicket));
    const wait = h('span', { class: 'wait' });
    fill(this.problem, icon('warn'), text, wait);
    this.password.value = '';
    this.button.disabled = error.status === 429;
    if (error.status === 429) {
      everySecond(wait, () => {
        const left = until - performance.now();
        say(wait, left > 0 ? ` ${t('login.wait', { span: span(left + 999) })}` : ` ${t('login.again')}`);
        if (left <= 0) this.button.disabled = false;
      });
    }
    (this.name.value ? this.password : this.name).focus();
  }

  update() {}

  close() {}
}
