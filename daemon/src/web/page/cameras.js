// Cameras: whether pictures come, and what became of the faces in them.

import { Refused } from './api.js';
import { h, icon, say } from './dom.js';
import { refreshSlow } from './live.js';
import { state } from './state.js';
import { join, number, span, t, term } from './words.js';

const EVERY_MS = 5_000;

// Nobody needs to know which tenth of a second.
const NOW_MS = 2_000;

const GOOD = ['streaming', 'ended'];

/** How a camera is, in one sentence. */
export function health(camera) {
  const age = camera['last-frame-age-ms'];
  const known = typeof age === 'number';
  const since = !known ? t('camera.never') : age < NOW_MS ? t('camera.now') : t('camera.age', { span: span(age) });
  const next = typeof camera['next-attempt-ms'] === 'number' ? t('camera.next', { span: span(camera['next-attempt-ms']) }) : '';
  const key = `camera.is.${camera.state}`;
  const said = t(key, { since });
  return join(said === key ? `${camera.state}. ${since}` : said, next);
}

// Counts as bars, largest first. The longest bar is the largest count; the number stands beside it.
function bars(title, counts, words) {
  const rows = Object.entries(counts ?? {}).filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a);
  const most = Math.max(1, ...rows.map(([, n]) => n));
  return h('section', { class: 'bars' }, h('h3', {}, title), rows.length === 0
    ? h('p', { class: 'quiet-line' }, t('cameras.nothing'))
    : h('ul', {}, ...rows.map(([word, n]) => h('li', {}, h('span', { class: 'what' }, term(words, word)),
      h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i', { vars: { '--left': (n / most).toFixed(3) } })), h('b', {}, number(n))))));
}

function verdicts(camera) {
  const { identified = 0, 'not-enrolled': strangers = 0, 'not-decidable': why = {} } = camera.verdicts ?? {};
  const undecided = Object.values(why).reduce((sum, n) => sum + n, 0);
  return { identified, 'not-enrolled': strangers, 'not-decidable': undecided };
}

function card(camera) {
  const good = GOOD.includes(camera.state);
  const size = camera.width ? t('camera.size', { width: String(camera.width), height: String(camera.height) }) : '';
  const rate = typeof camera.fps === 'number' ? t('camera.fps', { fps: camera.fps }) : '';
  const unfit = { ...camera['faces-unfit'] };
  const undecided = camera.verdicts?.['not-decidable'] ?? {};
  return h('li', { class: good ? 'camera-card' : 'camera-card bad' },
    h('h2', {}, icon('camera'), h('span', {}, camera.name)),
    h('p', { class: 'state' }, icon(good ? 'check' : 'warn'), h('span', {}, health(camera))),
    !good && camera['last-error'] ? h('p', { class: 'error-line' }, camera['last-error']) : null,
    h('p', { class: 'quiet-line' }, [size, rate, t('camera.faces', { n: camera.faces ?? 0 })].filter(Boolean).join(' \u00b7 ')),
    h('div', { class: 'bar-groups' }, bars(t('cameras.tracks'), verdicts(camera), 'outcome'), bars(t('cameras.unfit'), unfit, 'unfit'),
      Object.keys(undecided).length > 0 ? bars(t('cameras.undecided'), undecided, 'undecided') : null,
      bars(t('cameras.alerts'), camera['alert-events'], 'stage')));
}

/** The cameras as a view. */
export function camerasView() {
  const list = h('ol', { class: 'cameras', 'aria-label': t('cameras.title') });
  const note = h('p', { class: 'lead', role: 'status' });
  const element = h('section', { class: 'view cameras-view' }, h('h1', { tabindex: '-1' }, t('cameras.title')), note,
    list, h('p', { class: 'quiet-line' }, t('cameras.since')));
  let drawn = '';
  const update = () => {
    if (!state.cameras) return say(note, t('loading'));
    say(note, state.cameras.length === 0 ? t('cameras.line.none') : '');
    const now = JSON.stringify(state.cameras.map((camera) => ({ ...camera, tracks: null })));
    if (now === drawn) return undefined;
    drawn = now;
    return list.replaceChildren(...state.cameras.map(card));
  };
  const ask = () => refreshSlow().catch((error) => { if (!(error instanceof Refused)) throw error; });
  const timer = setInterval(() => { if (!document.hidden) ask(); }, EVERY_MS);
  ask();
  update();
  return { element, update, topics: ['cameras'], close: () => clearInterval(timer) };
}
