// What is said beside the pictures before anybody votes: size in words, quality, earlier mistakes. Never the evidence.

import { writtenPicture } from './api.js';
import { h, icon } from './dom.js';
import { ago, listMark } from './queue.js';
import { moment, t, term } from './words.js';

// Pixels between the eyes, and what people can do with them. The words say to whom it matters: whoever looks.
const SIZES = [[12, 'tiny'], [20, 'hard'], [32, 'difficult'], [60, 'fair'], [Infinity, 'clear']];

/** The class of a face size, a key below `size.`. */
const sizeClass = (px) => SIZES.find(([below]) => px < below)[1];

/** The sentence about the size of the face. */
function sizeNote(px) {
  const kind = sizeClass(px);
  const step = SIZES.findIndex(([, name]) => name === kind);
  return h('div', { class: `size ${kind}` },
    h('span', { class: 'steps', 'aria-hidden': 'true' }, ...SIZES.map((_, nth) => h('i', { class: nth <= step ? 'on' : null }))),
    h('p', {}, h('b', {}, t('size.px', { px })), ' ', t(`size.${kind}`)));
}

function qualityNote(detail) {
  const left = (detail.quality ?? []).filter((one) => one.count > 0);
  if (left.length === 0) return null;
  const total = left.reduce((sum, one) => sum + one.count, 0);
  const words = left.map((one) => t('quality.one', { reason: term('unfit', one.reason), n: one.count })).join(t('list.comma'));
  return h('p', { class: 'quiet-line' }, t('quality.left', { n: total }), ' ', words);
}

// What was measured of the picture that is shown, in words, only where it is worth saying.
const MEASURED = [
  ['sharpness', (value) => value < 0.06, 'soft'],
  ['yaw-deg', (value) => Math.abs(value) > 18, 'turned'],
  ['roll-deg', (value) => Math.abs(value) > 15, 'tilted'],
  ['brightness', (value) => value < 0.18, 'dark'],
  ['brightness', (value) => value > 0.82, 'bright'],
  ['contrast', (value) => value < 0.07, 'flat'],
];

/** What to bear in mind about one picture; an empty list where nothing was found. */
export function pictureWords(picture) {
  const quality = picture?.quality;
  if (!quality) return [];
  return MEASURED.filter(([name, holds]) => typeof quality[name] === 'number' && holds(quality[name])).map(([, , word]) => t(`picture.${word}`));
}

/** Earlier alerts of this person that people rejected: a warning that this person is easily confused. */
export function earlierNote(detail) {
  const earlier = detail['earlier-rejections'] ?? [];
  if (earlier.length === 0) return null;
  const shown = earlier.slice(0, 6).map((one) => {
    const path = writtenPicture(one.picture);
    const reasons = (one.reasons ?? []).map((reason) => reasonWords(reason)).join(t('list.comma'));
    return h('li', {},
      path ? h('img', { src: path, alt: t('alt.earlier', { camera: one.camera }), loading: 'lazy', decoding: 'async' }) : h('span', { class: 'no-picture' }, t('look.none')),
      h('span', {}, h('b', {}, one.camera), h('br'), ago(one.at), reasons ? h('span', { class: 'why' }, reasons) : null));
  });
  return h('section', { class: 'earlier', tabindex: '-1' }, h('h2', {}, icon('warn'), t('earlier.title', { n: earlier.length })),
    h('p', {}, t('earlier.why')), h('ul', {}, ...shown));
}

/** A reason as people read it: one of the page's, or somebody's own words. */
export function reasonWords(reason) {
  if (!reason) return '';
  if (reason.startsWith('other: ')) return t('reason.said', { text: reason.slice(7) });
  return term('reason', reason);
}

/** The line below the heading. */
export function whereLine(detail) {
  return h('p', { class: 'where-line' }, listMark(detail), h('span', {}, icon('camera'), h('b', {}, detail.camera)),
    h('time', { datetime: detail.opened }, moment(detail.opened)));
}

/** Everything beside the pictures. */
export function factsPanel(detail, pictureNote) {
  return h('div', { class: 'facts' },
    detail['caller-enrolled'] ? h('p', { class: 'hint' }, icon('info'), h('span', {}, t(detail['votes-required'] > 1 ? 'enroller.two' : 'enroller.one'))) : null,
    sizeNote(detail['face-px']), pictureNote, qualityNote(detail), earlierNote(detail));
}
