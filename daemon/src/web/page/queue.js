// The queue: who waits, where, for how long, and until when. Rows are kept by alert, so that 500 of them stay quick and
// focus stays where it was when one comes or goes.

import { picturePath, plain } from './api.js';
import { everySecond, h, icon, say } from './dom.js';
import { daemonNow, sinceMs, state } from './state.js';
import { join, moment, span, t, term } from './words.js';
import { voteOn } from './votes.js';

const HURRY_MS = 120_000;

/** The person as people may know them: the display name where the daemon has one, with the reference behind it. */
export const called = (alert) => alert['display-name'] || alert.person;

/** Place of the picture that shows most: large, and turned to the camera. Pictures come in the order they were taken. */
export function bestOf(pictures) {
  const worth = (picture) => picture['face-px'] * Math.cos((Math.min(80, Math.abs(picture.quality?.['yaw-deg'] ?? 0)) * Math.PI) / 180);
  return (pictures ?? []).reduce((best, picture, nth) => (worth(picture) > worth(pictures[best]) ? nth : best), 0);
}

/** What is left of the time to vote: words and a bar that says the same. */
export function deadline(alert) {
  const words = h('span', { class: 'left' });
  const bar = h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i'));
  const box = h('span', { class: 'deadline' }, icon('clock'), words, bar);
  let shown = '';
  return everySecond(box, () => {
    const ends = Date.parse(alert.expires);
    if (Number.isNaN(ends)) {
      box.hidden = true;
      return;
    }
    const left = ends - daemonNow();
    const whole = Math.max(1, ends - Date.parse(alert.opened));
    say(words, left > 0 ? t('queue.left', { span: span(left) }) : t('queue.over'));
    box.classList.toggle('hurry', left < HURRY_MS);
    const share = Math.min(1, Math.max(0, left / whole)).toFixed(2);
    if (share === shown) return;
    shown = share;
    bar.firstChild.style.setProperty('--left', share);
  });
}

/** `1 of 2 votes`, and that it is the watch list. */
export const votesOf = (alert) => t('queue.votes', { n: alert['votes-required'], cast: alert['votes-cast'] });

/** The mark of a list, a word and a drawing, never a colour alone. */
export function listMark(alert) {
  const watch = alert.purpose === 'watch';
  const words = !watch ? alert.list : alert.list === 'watch' ? t('list.watch') : t('list.watch.other', { list: alert.list });
  return h('span', { class: watch ? 'badge watch' : 'badge' }, watch ? icon('eye') : null, h('span', {}, words));
}

/** How long ago something was, counting up. */
export const ago = (iso) => {
  const element = h('time', { datetime: iso, title: moment(iso) });
  return everySecond(element, () => say(element, t('queue.ago', { span: span(sinceMs(iso)) })));
};

class Row {
  constructor(alert) {
    this.element = h('li', { class: 'row' });
    this.update(alert);
  }

  update(alert) {
    const mine = voteOn(alert.id);
    const seen = JSON.stringify([alert['votes-cast'], alert.voted, alert.expires, alert.stage, alert.pictures?.length, mine?.phase]);
    if (seen === this.seen) return;
    this.seen = seen;
    const best = alert.pictures?.[bestOf(alert.pictures)];
    const image = best
      ? h('img', { src: picturePath(alert.id, best.n), alt: t('alt.best', { px: best['face-px'] }), loading: 'lazy', decoding: 'async', width: best.width, height: best.height })
      : h('span', { class: 'no-picture' }, t('look.none'));
    const marks = h('span', { class: 'marks' }, listMark(alert),
      alert.quiet ? h('span', { class: 'badge' }, t('queue.quiet')) : null,
      mine ? h('span', { class: 'badge' }, t('queue.sending')) : alert.voted ? h('span', { class: 'badge done' }, icon('check'), t('queue.voted')) : null);
    const link = h('a', { href: `#/alert/${alert.id}`, class: 'item', data: { id: alert.id } },
      h('span', { class: 'thumb' }, image),
      h('span', { class: 'about' },
        h('span', { class: 'who' }, h('b', {}, called(alert)), marks),
        h('span', { class: 'where' }, h('span', {}, alert.camera), ' \u00b7 ', ago(alert.opened), ' \u00b7 ', t('look.short', { px: alert['face-px'] })),
        h('span', { class: 'when' }, deadline(alert), h('span', { class: 'votes' }, icon('people'), votesOf(alert)))),
      icon('next'));
    const focused = this.element.contains(document.activeElement);
    this.element.replaceChildren(link);
    if (focused) link.focus();
  }
}

/** A list of rows that follows `state.queue`. */
export class QueueList {
  constructor(label) {
    this.rows = new Map();
    this.element = h('ol', { class: 'queue', 'aria-label': label });
  }

  /** Brings the rows into line with the queue; `current` is marked. */
  update(current) {
    const shown = state.queue.filter((alert) => plain(alert.id));
    const wanted = new Set(shown.map((alert) => alert.id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    let place = this.element.firstElementChild;
    for (const alert of shown) {
      let row = this.rows.get(alert.id);
      if (!row) {
        row = new Row(alert);
        this.rows.set(alert.id, row);
      } else row.update(alert);
      if (row.element === place) place = place.nextElementSibling;
      else this.element.insertBefore(row.element, place);
      const link = row.element.firstChild;
      if (alert.id === current) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }

  /** Moves focus up or down. */
  step(by) {
    const links = [...this.element.querySelectorAll('a.item')];
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by));
    links[next]?.focus();
  }
}

/** Alerts that still want this person's vote, in order. */
export const wanted = () => state.queue.filter((alert) => !alert.voted && !voteOn(alert.id) && plain(alert.id));

/** Cameras in one line. */
function cameraLine() {
  if (!state.cameras) return '';
  const n = state.cameras.length;
  if (n === 0) return t('cameras.line.none');
  const bad = state.cameras.filter((camera) => !['streaming', 'ended'].includes(camera.state));
  if (bad.length === 0) return t('cameras.line.good', { n });
  const names = bad.slice(0, 3).map((camera) => `${camera.name} (${term('camera-state', camera.state)})`).join(t('and'));
  return t('cameras.line.bad', { n, bad: bad.length, names, more: bad.length > 3 ? ' ...' : '' });
}

/** The queue as a view. */
export function queueView() {
  const list = new QueueList(t('queue.title'));
  const head = h('p', { class: 'lead' });
  const empty = h('div', { class: 'empty' });
  const health = h('a', { class: 'health', href: '#/cameras' });
  const element = h('section', { class: 'view queue-view' },
    h('h1', { tabindex: '-1' }, t('queue.title')), head, list.element, empty, health,
    h('p', { class: 'quiet-line' }, join(t('version', { version: state.me?.version ?? '' }), state.me?.['non-commercial'] && t('noncommercial'))));
  const update = () => {
    list.update();
    const none = state.queueKnown && state.queue.length === 0;
    const lead = t('queue.waiting', { n: state.waiting });
    const more = state.candidates > 0 ? t('queue.candidates', { n: state.candidates }) : '';
    say(head, !state.queueKnown ? t('loading') : none ? '' : join(lead, more));
    head.hidden = none;
    empty.hidden = !none && state.hidden === 0;
    if (none) {
      empty.replaceChildren(icon('check'), h('h2', {}, t('queue.empty')), h('p', {}, t('queue.empty.next')),
        state.candidates > 0 ? h('p', {}, t('queue.candidates', { n: state.candidates })) : '');
    } else if (state.hidden > 0) empty.replaceChildren(h('p', {}, t('queue.hidden', { n: state.hidden })));
    health.replaceChildren(icon('camera'), h('span', {}, cameraLine()));
    health.hidden = !state.cameras;
    health.classList.toggle('bad', state.cameras?.some((camera) => !['streaming', 'ended'].includes(camera.state)) ?? false);
  };
  update();
  return {
    element, update, topics: ['queue', 'cameras', 'outbox'],
    keys: { j: () => list.step(1), k: () => list.step(-1), ArrowDown: () => list.step(1), ArrowUp: () => list.step(-1) },
  };
}
