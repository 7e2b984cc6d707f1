// The three answers, and why. Equal in size and weight: the page must not nudge.

import { h, icon } from './dom.js';
import { t, term } from './words.js';

/** What is sent as a reason, by answer. `null` is an answer without a reason, `other` a person's own words. */
const REASONS = {
  confirm: ['recognised', 'other', null],
  reject: ['not-the-same-person', 'too-poor-to-tell', 'picture-or-screen', 'other'],
  unsure: ['too-small', 'turned-away', 'other'],
};

// The daemon keeps 300 characters, "other: " among them.
const OWN_WORDS_MAX = 290;

const ICONS = { confirm: 'check', reject: 'cross', unsure: 'unsure' };
const KEYS = { confirm: 'y', reject: 'n', unsure: 'u' };

/** The bar at the foot of an alert. `cast(verdict, reason)` is called once, `focusBack` when a choice was dropped. */
export class VerdictBar {
  constructor(cast) {
    this.cast = cast;
    this.element = h('div', { class: 'bar-inner' });
    this.verdict = null;
    this.ask();
  }

  /** The three buttons. */
  ask(focus = false) {
    const before = this.verdict;
    this.verdict = null;
    const buttons = Object.keys(REASONS).map((verdict) => h('button', {
      type: 'button', class: `answer ${verdict}`, 'aria-keyshortcuts': KEYS[verdict], data: { verdict }, on: { click: () => this.why(verdict) },
    }, icon(ICONS[verdict]), h('span', { class: 'word' }, t(`answer.${verdict}`)), h('kbd', { 'aria-hidden': 'true' }, KEYS[verdict].toUpperCase())));
    this.element.replaceChildren(h('div', { class: 'answers', role: 'group', 'aria-label': t('answer.group') }, ...buttons));
    if (focus && before) this.element.querySelector(`[data-verdict="${before}"]`)?.focus({ preventScroll: true });
  }

  /** The reasons of one answer: one tap sends it on its way. */
  why(verdict) {
    this.verdict = verdict;
    const reasons = REASONS[verdict].map((reason, nth) => h('button', {
      type: 'button', class: reason === null ? 'reason none' : 'reason', data: { reason: reason ?? 'none' },
      on: { click: () => (reason === 'other' ? this.own() : this.done(reason)) },
    }, h('kbd', { 'aria-hidden': 'true' }, String(nth + 1)), h('span', {}, reason === null ? t('reason.none') : term('reason', reason))));
    this.element.replaceChildren(h('div', { class: `why-panel ${verdict}`, role: 'group', 'aria-label': t(`why.${verdict}`) },
      h('p', { class: 'asked' }, icon(ICONS[verdict]), h('b', {}, t(`answer.${verdict}`)), h('span', {}, t(`why.${verdict}`)),
        h('button', { type: 'button', class: 'plain', on: { click: () => this.ask(true) } }, t('why.back'), h('kbd', { 'aria-hidden': 'true' }, 'Esc'))),
      h('div', { class: 'reasons' }, ...reasons)));
    // The bar is always in sight; following focus would only scroll the pictures away.
    reasons[0].focus({ preventScroll: true });
  }

  /** A reason in the person's own words. */
  own() {
    const field = h('input', { type: 'text', maxlength: OWN_WORDS_MAX, id: 'own-words', autocomplete: 'off', enterkeyhint: 'send' });
    const send = (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text) this.done(`other: ${text}`);
      else field.focus();
    };
    const form = h('form', { class: 'own', on: { submit: send } }, h('label', { for: 'own-words' }, t('why.own')), field,
      h('button', { type: 'submit', class: 'primary' }, t('why.send')));
    this.element.querySelector('.reasons').replaceWith(form);
    field.focus({ preventScroll: true });
  }

  done(reason) {
    const verdict = this.verdict;
    if (!verdict) return;
    this.verdict = null;
    this.cast(verdict, reason);
  }

  /** A key; true when it meant something here. */
  key(key) {
    const answer = Object.keys(KEYS).find((verdict, nth) => KEYS[verdict] === key || (!this.verdict && String(nth + 1) === key));
    if (!this.verdict) {
      if (answer) this.why(answer);
      return Boolean(answer);
    }
    if (key === 'Escape') {
      this.ask(true);
      return true;
    }
    const reason = REASONS[this.verdict][Number(key) - 1];
    if (reason !== undefined) {
      if (reason === 'other') this.own();
      else this.done(reason);
      return true;
    }
    if (answer && answer !== this.verdict) this.why(answer);
    return Boolean(answer);
  }
}
