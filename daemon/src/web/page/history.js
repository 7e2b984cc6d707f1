// What was: alerts newest first, page by page, by stage, camera, person, list and time. Nothing can be changed here.

import { Refused, get, picturePath, plain } from './api.js';
import { fill, h, icon, say } from './dom.js';
import { bestOf, called, listMark, votesOf } from './queue.js';
import { join, moment, t, term } from './words.js';

const PAGE = 50;
// How far one can go back and forth again without starting anew.
const PAGES_MAX = 400;

// Kept while the page is open, so that coming back from an alert finds the same page. Not in the address: a reference of a
// person has no business in a browser's history.
const kept = { filter: {}, befores: [null], scroll: 0 };

/** Forgets what was looked for; another person logs in. */
export function forgetHistory() {
  Object.assign(kept, { filter: {}, befores: [null], scroll: 0 });
}

const STAGE_ICONS = { confirmed: 'check', rejected: 'cross', 'machine-confirmed': 'clock', candidate: 'clock', expired: 'clock', withdrawn: 'info' };

/** A stage as a word and a drawing. */
const stageMark = (stage) => h('span', { class: `stage-mark ${stage}` }, icon(STAGE_ICONS[stage] ?? 'info'), h('span', {}, term('stage', stage)));

function row(alert) {
  const best = alert.pictures?.[bestOf(alert.pictures)];
  return h('li', { class: 'row' }, h('a', { class: 'item', href: `#/alert/${alert.id}` },
    h('span', { class: 'thumb' }, best
      ? h('img', { src: picturePath(alert.id, best.n), alt: t('alt.best', { px: best['face-px'] }), loading: 'lazy', decoding: 'async', width: best.width, height: best.height })
      : h('span', { class: 'no-picture' }, t('look.none'))),
    h('span', { class: 'about' },
      h('span', { class: 'who' }, h('b', {}, called(alert)), listMark(alert), stageMark(alert.stage)),
      h('span', { class: 'where' }, alert.camera, ' \u00b7 ', h('time', { datetime: alert.opened }, moment(alert.opened)), ' \u00b7 ', t('look.short', { px: alert['face-px'] })),
      h('span', { class: 'where' }, term('cause', alert.cause), alert['votes-required'] > 0 ? ` \u00b7 ${votesOf(alert)}` : '')),
    icon('next')));
}

/** The address of one page of the history. */
function historyPath(filter, before) {
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const name of ['stage', 'camera', 'person', 'list']) if (filter[name]) query.set(name, filter[name]);
  for (const name of ['from', 'until']) {
    const at = filter[name] ? new Date(filter[name]) : null;
    if (at && !Number.isNaN(at.getTime())) query.set(name, at.toISOString());
  }
  if (before) query.set('before', before);
  return `/api/alerts?${query}`;
}

/** The history as a view. */
export class HistoryView {
  constructor() {
    this.topics = [];
    this.list = h('ol', { class: 'queue history', 'aria-label': t('history.title') });
    this.note = h('p', { class: 'lead', role: 'status' }, t('loading'));
    this.older = h('button', { type: 'button', on: { click: () => this.turn(1) } }, t('history.older'), icon('next'));
    this.newer = h('button', { type: 'button', on: { click: () => this.turn(-1) } }, icon('back'), t('history.newer'));
    this.form = h('form', { class: 'filters', 'aria-label': t('history.filters'), on: { submit: (event) => event.preventDefault(), change: () => this.search() } });
    this.element = h('section', { class: 'view history-view' }, h('h1', { tabindex: '-1' }, t('history.title')),
      h('details', { class: 'filter-box', open: Object.keys(kept.filter).length > 0 || window.innerWidth > 900 }, h('summary', {}, t('history.filters')), this.form),
      this.note, this.list, h('nav', { class: 'pager', 'aria-label': t('history.pages') }, this.newer, this.older));
    this.menus();
    this.load();
  }

  async menus() {
    let choices = {};
    try {
      choices = await get('/api/filters');
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
    const menu = (name, many) => h('label', {}, h('span', {}, t(`history.${name}`)), h('select', { name },
      h('option', { value: '' }, t('history.any')),
      ...(choices[many] ?? []).slice(0, 2000).map((word) => h('option', { value: word, selected: kept.filter[name] === word }, name === 'stage' ? term('stage', word) : word))));
    const time = (name) => h('label', {}, h('span', {}, t(`history.${name}`)), h('input', { type: 'datetime-local', name, value: kept.filter[name] ?? '' }));
    fill(this.form, menu('stage', 'stages'), menu('camera', 'cameras'), menu('person', 'people'), menu('list', 'lists'), time('from'), time('until'),
      h('button', { type: 'reset', on: { click: () => setTimeout(() => this.clear()) } }, t('history.clear')));
  }

  clear() {
    for (const field of this.form.elements) if (field.name) field.value = '';
    this.search();
  }

  search() {
    const entries = [...new FormData(this.form)].filter(([, value]) => value);
    kept.filter = Object.fromEntries(entries);
    kept.befores = [null];
    this.load();
  }

  turn(by) {
    if (by > 0 && this.last && kept.befores.length < PAGES_MAX) kept.befores.push(this.last);
    else if (by < 0 && kept.befores.length > 1) kept.befores.pop();
    this.load(true);
  }

  async load(turned = false) {
    const ticket = this.ticket = {};
    try {
      const answer = await get(historyPath(kept.filter, kept.befores.at(-1)));
      if (this.ticket !== ticket) return;
      const alerts = (answer.alerts ?? []).slice(0, PAGE).filter((alert) => plain(alert.id));
      this.last = alerts.at(-1)?.id;
      fill(this.list, ...alerts.map(row));
      say(this.note, alerts.length === 0 ? t('history.none') : t('history.page', { nth: kept.befores.length, n: alerts.length }));
      this.older.disabled = !answer.more;
      this.newer.disabled = kept.befores.length === 1;
      if (turned) this.element.querySelector('h1').focus();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status !== 401) say(this.note, join(t(`refused.${error.kind}`), t(`todo.${error.kind}`), error.said));
    }
  }

  update() {}

  close() {}
}
