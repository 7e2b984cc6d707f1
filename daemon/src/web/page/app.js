// The page's frame: log-in, header, the view that the address names, keys. Everything else hangs from here.

import { AlertView } from './alert.js';
import { Refused, carry, get, plain, post } from './api.js';
import { announce, fill, h, icon, say, tick } from './dom.js';
import { camerasView } from './cameras.js';
import { HistoryView, forgetHistory } from './history.js';
import * as live from './live.js';
import { LoginView, takeTicket } from './login.js';
import { Notices, freshness, voteRefused } from './notices.js';
import { help, settings } from './panels.js';
import { dress, prefs, ring } from './prefs.js';
import { QueueList, queueView } from './queue.js';
import { emit, on, state } from './state.js';
import { preferred, speak, spoken, t } from './words.js';
import { loggedIn, onTheirWay, undo } from './votes.js';

const place = (id) => document.getElementById(id);
const TABS = [['#/queue', 'queue', 'queue.title'], ['#/history', 'history', 'history.title'], ['#/cameras', 'camera', 'cameras.title']];

let view = null;
let rail = null;
let listFrom = '#/queue';
let lastName = '';
const notices = new Notices(place('notices'));

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

function header() {
  const other = spoken() === 'ja' ? ['en', 'English'] : ['ja', '\u65e5\u672c\u8a9e'];
  const language = h('button', { type: 'button', class: 'tool language', lang: other[0], on: { click: () => changeLanguage(other[0]) } }, other[1]);
  say(place('skip'), t('skip'));
  place('notices').setAttribute('aria-label', t('notices'));
  const brand = h('a', { class: 'brand', href: '#/queue' }, h('img', { src: '/assets/icon.svg', alt: '', width: 26, height: 26 }), h('b', {}, 'Sekisho'));
  if (!state.me) return fill(place('top'), brand, h('span', { class: 'gap' }), language);
  const tabs = h('nav', { class: 'tabs', 'aria-label': t('nav') }, ...TABS.map(([hash, drawing, word]) => h('a', { href: hash }, icon(drawing),
    h('span', {}, t(word)), hash === '#/queue' ? h('span', { class: 'count', hidden: true }) : null)),
  h('button', { type: 'button', 'aria-haspopup': 'dialog', on: { click: () => settings({ language: changeLanguage, logout }) } }, icon('more'), h('span', {}, t('more'))));
  return fill(place('top'), brand, tabs, h('span', { class: 'gap' }), freshness(),
    h('button', { type: 'button', class: 'tool help-button', 'aria-keyshortcuts': '?', 'aria-label': t('help.title'), on: { click: help } }, icon('help')), language);
}

async function changeLanguage(wanted) {
  await speak(wanted, true);
  const name = view instanceof LoginView ? view.name.value : '';
  header();
  if (state.me) route(true);
  else askLogin(null, name);
  notices.update(true);
  toast();
  count();
}

// The tab says how many wait, never who: other people see the screen.
function count() {
  const n = state.me ? state.waiting : 0;
  document.title = n > 0 ? t('tab.waiting', { n }) : t('tab');
  const wanted = n > 0 ? '/assets/icon-waiting.svg' : '/assets/icon.svg';
  if (place('tab-icon').getAttribute('href') !== wanted) place('tab-icon').setAttribute('href', wanted);
  if (n > 0) navigator.setAppBadge?.(n)?.catch(() => {});
  else navigator.clearAppBadge?.()?.catch(() => {});
  const badge = document.querySelector('.tabs .count');
  if (!badge) return;
  badge.hidden = n === 0;
  say(badge, String(n));
  badge.setAttribute('aria-label', t('queue.waiting', { n }));
}

function show(next) {
  view?.close?.();
  view = next;
  place('main').replaceChildren(next.element);
}

const named = () => /^#\/alert\/(.+)$/.exec(location.hash)?.[1];

function route(keepFocus = false) {
  if (!state.me) return;
  const id = named();
  const hash = id ? location.hash : TABS.some(([tab]) => tab === location.hash) ? location.hash : '#/queue';
  if (!id && hash !== '#/cameras') listFrom = hash;
  document.querySelector('dialog[open]')?.close();
  if (id && plain(id)) show(new AlertView(id, go, listFrom));
  else if (hash === '#/history') show(new HistoryView());
  else if (hash === '#/cameras') show(camerasView());
  else show(queueView());
  document.body.dataset.view = id ? 'alert' : hash.slice(2);
  rail ??= new QueueList(t('queue.title'));
  place('rail').replaceChildren(h('h2', {}, t('queue.title')), rail.element);
  place('rail').hidden = !id || listFrom !== '#/queue';
  rail.update(id);
  for (const tab of document.querySelectorAll('.tabs a')) {
    if (tab.getAttribute('href') === (id ? listFrom : hash)) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  window.scrollTo(0, 0);
  // A change of view is told by moving to its heading, as a page load would.
  if (keepFocus !== true) view.element.querySelector('h1')?.focus({ preventScroll: true });
  toast();
}

function toast() {
  const box = place('toast');
  const entry = onTheirWay().find((vote) => vote.phase === 'grace' && vote.alert !== named());
  box.hidden = !entry || !state.me;
  if (!box.hidden) {
    fill(box, h('span', {}, h('b', {}, t(`answer.${entry.verdict}`)), ' ', t('sending.grace')),
      h('button', { type: 'button', class: 'undo', on: { click: takeBack } }, t('sending.undo'), h('kbd', { 'aria-hidden': 'true' }, 'Esc')));
  }
}

function takeBack() {
  const alert = undo();
  if (!alert) return false;
  announce(t('sending.undone'));
  go(`#/alert/${alert}`);
  return true;
}

function askLogin(why, name) {
  const asks = new LoginView(why, name, entered);
  document.body.dataset.view = 'login';
  place('rail').hidden = true;
  show(asks);
  (asks.name.value ? asks.password : asks.name).focus();
  return asks;
}

// Everything of the last person is forgotten, except votes that wait for exactly that person.
function over(why) {
  if (!state.me) return;
  lastName = state.me.name;
  live.end();
  Object.assign(state, { me: null, queue: [], waiting: 0, candidates: 0, queueKnown: false, cameras: null, suspensions: [], paused: null, stale: null });
  rail = null;
  document.querySelector('dialog[open]')?.close();
  header();
  count();
  toast();
  notices.update(true);
  askLogin(why, why ? lastName : '');
}

function entered(session) {
  if (session.name !== lastName) forgetHistory();
  state.me = session;
  lastName = session.name;
  carry(session.csrf);
  header();
  route();
  loggedIn();
  live.start(fresh, () => prefs.sound);
  notices.update(true);
}

async function logout() {
  await post('/api/logout', {}).catch((error) => { if (!(error instanceof Refused)) throw error; });
  history.replaceState(null, '', '#/queue');
  over(null);
}

function fresh(alerts) {
  ring();
  announce(t('queue.new', { n: alerts.length, camera: alerts[0].camera }));
}

function keys(event) {
  if (!state.me || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof Element && event.target.closest('input:not([type=checkbox]):not([type=radio]), textarea, select');
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (typing && key !== 'Escape') return;
  if (key.length === 1 && (!prefs.keys || key === ' ')) return;
  const open = document.querySelector('dialog[open]');
  if (open && (key === 'Escape' || !open.classList.contains('zoom'))) return;
  const everywhere = { '?': help, q: () => go('#/queue'), h: () => go('#/history') };
  const does = view?.key?.(key) || call(view?.keys?.[key]) || (key === 'Escape' && takeBack()) || call(everywhere[key]);
  if (does) event.preventDefault();
}

function call(action) {
  action?.();
  return Boolean(action);
}

function listen() {
  on('queue', () => { count(); rail?.update(named()); });
  on('outbox', () => { toast(); notices.update(); rail?.update(named()); });
  for (const topic of ['link', 'suspensions', 'queue']) on(topic, () => notices.update());
  for (const topic of ['queue', 'cameras', 'outbox']) on(topic, () => { if (view?.topics?.includes(topic)) view.update(); });
  on('alert', (id) => { if (view instanceof AlertView && (id === null || id === view.id)) view.settle(); });
  on('voted', ({ alert, detail }) => {
    if (view instanceof AlertView && view.id === alert) view.take(detail);
    live.refresh();
  });
  on('vote-refused', (what) => {
    voteRefused(what);
    notices.update(true);
    if (view instanceof AlertView) view.settle();
    live.refresh();
  });
  on('login-over', () => over('login.over'));
  window.addEventListener('hashchange', () => {
    const ticket = takeTicket();
    if (ticket && !state.me) askLogin(null, '').present(ticket);
    else route();
  });
  document.addEventListener('keydown', keys);
  place('skip').addEventListener('click', (event) => {
    event.preventDefault();
    place('main').focus();
  });
  setInterval(tick, 1000);
}

async function begin() {
  dress();
  const ticket = takeTicket();
  await speak(preferred());
  listen();
  header();
  count();
  if (ticket) return askLogin(null, '').present(ticket);
  try {
    entered(await get('/api/session'));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const asks = askLogin(null, '');
    if (error.status !== 401) asks.refuse(error, false);
  }
  return emit('link');
}

begin();
