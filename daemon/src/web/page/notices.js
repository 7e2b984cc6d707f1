// What everybody has to know whatever they look at: that the page is not current, that a calibration no longer fits, that
// somebody's alerts are held back, that a vote could not be sent.

import { Refused, post } from './api.js';
import { announce, dialog, everySecond, h, icon, say } from './dom.js';
import { OLD_MS, ageMs, refresh, refreshSlow } from './live.js';
import { state } from './state.js';
import { join, moment, span, t } from './words.js';
import { decideFound, onTheirWay } from './votes.js';

const SHOWN_MAX = 5;

function notice(kind, drawing, text, ...more) {
  return h('div', { class: `notice ${kind}`, role: kind === 'bad' ? 'alert' : null }, icon(drawing), h('p', {}, text), ...more);
}

function suspensionText(one) {
  const figures = { subject: one.subject, since: moment(one.since), n: one.decided, rejected: one.rejected };
  return t(one.kind === 'camera' ? 'suspended.camera' : 'suspended.person', figures);
}

async function lift(one, button) {
  button.disabled = true;
  try {
    await post('/api/suspensions/lift', { kind: one.kind, subject: one.subject });
    announce(t('suspended.lifted', { subject: one.subject }));
    await refreshSlow();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    button.disabled = false;
    announce(join(t(`refused.${error.kind}`), error.said));
    button.replaceChildren(t('suspended.failed'));
  }
}

/** Whether this person may stop all matching. */
export const mayPause = () => ['admin', 'dpo'].includes(state.me?.role);

async function turn(path, body, button) {
  button.disabled = true;
  try {
    await post(path, body);
    await refreshSlow();
    announce(t(state.paused ? 'paused.done' : 'paused.over'));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    button.disabled = false;
    announce(join(t(`refused.${error.kind}`), error.said));
    button.replaceChildren(t('paused.failed'));
  }
}

/** Asks why, and stops all matching. */
export function askToPause() {
  const why = h('input', { type: 'text', id: 'pause-why', maxlength: 150, required: true });
  dialog(t('paused.pause'), (close) => h('form', { class: 'sheet', on: { submit: (event) => {
    event.preventDefault();
    turn('/api/matching/pause', { reason: why.value }, event.submitter).then(() => state.paused && close());
  } } }, h('h2', {}, t('paused.ask')), h('p', {}, t('paused.means')), h('label', { for: 'pause-why' }, t('paused.why')), why,
    h('div', { class: 'row-of-buttons' }, h('button', { type: 'button', on: { click: close } }, t('cancel')), h('button', { type: 'submit', class: 'primary' }, t('paused.pause')))));
}

function pausedNotice() {
  const text = t('paused.notice', { since: moment(state.paused.since), by: state.paused.by, reason: state.paused.reason });
  return notice('bad', 'warn', text, mayPause()
    ? h('button', { type: 'button', on: { click: (event) => turn('/api/matching/resume', {}, event.currentTarget) } }, t('paused.resume'))
    : null);
}

function askToLift(one) {
  dialog(t('suspended.lift'), (close) => h('div', { class: 'sheet' }, h('h2', {}, t('suspended.lift.ask')), h('p', {}, suspensionText(one)), h('p', {}, t('suspended.lift.means')),
    h('div', { class: 'row-of-buttons' }, h('button', { type: 'button', on: { click: close } }, t('cancel')),
      h('button', { type: 'button', class: 'primary', on: { click: (event) => lift(one, event.currentTarget).then(close) } }, t('suspended.lift')))));
}

const refusedVotes = [];

/** A vote was not taken; it is said until it is read. */
export function voteRefused({ entry, said }) {
  refusedVotes.push({ entry, said });
  if (refusedVotes.length > SHOWN_MAX) refusedVotes.shift();
}

function outboxNotices(redraw) {
  const waiting = onTheirWay().filter((vote) => ['retrying', 'held'].includes(vote.phase));
  const found = onTheirWay().filter((vote) => vote.phase === 'found');
  const gone = refusedVotes.map((one) => notice('bad', 'warn', join(t('unsent.refused', { answer: t(`answer.${one.entry.verdict}`), camera: one.entry.camera ?? '' }), one.said),
    h('button', { type: 'button', on: { click: () => { refusedVotes.splice(refusedVotes.indexOf(one), 1); redraw(); } } }, t('close'))));
  const asks = found.map((vote) => notice('warn', 'info', t('unsent.found', { answer: t(`answer.${vote.verdict}`), camera: vote.camera ?? '', time: moment(new Date(vote.at).toISOString()) }),
    h('button', { type: 'button', class: 'primary', on: { click: () => decideFound(vote.alert, true) } }, t('unsent.send')),
    h('button', { type: 'button', on: { click: () => decideFound(vote.alert, false) } }, t('unsent.discard'))));
  return [...gone, ...asks, waiting.length > 0 ? notice('warn', 'clock', t('unsent.waiting', { n: waiting.length })) : null];
}

/** How current the page is, in words, for the header; ticks. */
export function freshness() {
  const words = h('span', { class: 'words' });
  const box = h('span', { class: 'fresh' }, h('i', { class: 'dot', 'aria-hidden': 'true' }), words);
  return everySecond(box, () => {
    const age = ageMs();
    const old = age === null || age > OLD_MS;
    const mode = state.link.mode === 'lost' || (old && age !== null) ? 'lost' : state.link.mode;
    box.dataset.mode = mode;
    const long = age === null ? t('link.none') : t('link.age', { span: span(age) });
    say(words, mode === 'live' ? t('link.live') : mode === 'lost' ? join(t('link.lost'), long) : mode === 'starting' ? t('loading') : join(t('link.polling'), long));
    box.title = join(t(`link.${mode}.why`), long);
  });
}

// The age of what is shown, said aloud once it is old; the element ticks, the notice comes and goes.
function linkNotice() {
  if (state.link.mode !== 'lost') return null;
  const text = h('p');
  everySecond(text, () => {
    const age = ageMs();
    say(text, join(t('link.lost.notice'), age === null ? t('link.none') : t('link.age', { span: span(age) }), t('link.lost.todo')));
  });
  return h('div', { class: 'notice bad', role: 'alert' }, icon('warn'), text, h('button', { type: 'button', on: { click: () => refresh() } }, t('link.again')));
}

/** Draws the notices; only where they changed. */
export class Notices {
  constructor(element) {
    this.element = element;
    this.drawn = '';
  }

  update(force = false) {
    const key = JSON.stringify([state.link.mode === 'lost', state.stale, state.suspensions, state.paused, state.me?.role, document.documentElement.lang,
      onTheirWay().map((vote) => [vote.alert, vote.phase]), refusedVotes.length]);
    if (key === this.drawn && !force) return;
    this.drawn = key;
    if (!state.me) return this.element.replaceChildren();
    const shown = state.suspensions.slice(0, SHOWN_MAX).map((one) => notice('warn passing', 'info', suspensionText(one), state.me.role === 'admin'
      ? h('button', { type: 'button', on: { click: () => askToLift(one) } }, t('suspended.lift'))
      : null));
    const more = state.suspensions.length - SHOWN_MAX;
    const all = [linkNotice(), state.paused ? pausedNotice() : null, ...outboxNotices(() => this.update(true)), state.stale ? notice('warn', 'warn', t('stale.notice')) : null, ...shown,
      more > 0 ? notice('warn passing', 'info', t('suspended.more', { n: more })) : null];
    return this.element.replaceChildren(...all.filter(Boolean));
  }
}
