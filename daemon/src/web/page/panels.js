// The two panels over the page: what the keys do, and what one person likes.

import { dialog, h, icon } from './dom.js';
import { askToPause, mayPause } from './notices.js';
import { prefer, prefs, ring } from './prefs.js';
import { state } from './state.js';
import { join, moment, spoken, t } from './words.js';

const KEYS = [
  ['help.decide', [['Y 1', 'help.yes'], ['N 2', 'help.no'], ['U 3', 'help.unsure'], ['1-4', 'help.reason'], ['Esc', 'help.undo']]],
  ['help.look', [['\u2190 \u2192', 'help.turn'], ['C', 'help.coarse'], ['S', 'help.smooth'], ['P', 'help.play'], ['Z', 'help.zoom']]],
  ['help.move', [['J', 'help.next'], ['K', 'help.previous'], ['Q', 'help.queue'], ['H', 'help.history'], ['?', 'help.help']]],
];

/** What the keys do, and how to look at a small face. */
export function help() {
  dialog(t('help.title'), (close) => h('div', { class: 'sheet help-sheet' },
    h('div', { class: 'sheet-head' }, h('h2', {}, t('help.title')), h('button', { type: 'button', class: 'tool', on: { click: close } }, icon('cross'), h('span', {}, t('close')))),
    h('ol', { class: 'advice' }, ...['size', 'hair', 'several', 'coarse', 'unsure', 'blind'].map((word) => h('li', {}, t(`advice.${word}`)))),
    h('div', { class: 'key-groups' }, ...KEYS.map(([title, keys]) => h('section', {}, h('h3', {}, t(title)), h('dl', {}, ...keys.map(([key, word]) => h('div', {},
      h('dt', {}, ...key.split(' ').map((one) => h('kbd', {}, one))), h('dd', {}, t(word))))))))), { className: 'over' });
}

function toggle(name, label, note) {
  const box = h('input', { type: 'checkbox', checked: prefs[name], on: { change: () => { prefer(name, box.checked); if (box.checked && name !== 'keys') ring(); } } });
  return h('label', { class: 'toggle' }, box, h('span', {}, h('b', {}, t(label)), note ? h('span', { class: 'quiet-line' }, t(note)) : null));
}

function choice(title, name, options, chosen, pick) {
  return h('fieldset', { class: 'choice' }, h('legend', {}, title), ...options.map(([value, word, lang]) => h('label', {},
    h('input', { type: 'radio', name, value, checked: value === chosen, on: { change: () => pick(value) } }), h('span', { lang: lang ?? null }, word))));
}

/** What one likes, who one is, and the way out. */
export function settings({ language, logout }) {
  dialog(t('settings.title'), (close) => h('div', { class: 'sheet' },
    h('div', { class: 'sheet-head' }, h('h2', {}, t('settings.title')), h('button', { type: 'button', class: 'tool', on: { click: close } }, icon('cross'), h('span', {}, t('close')))),
    h('p', {}, t('settings.who', { name: state.me.name, role: t(`role.name.${state.me.role}`) }), ' ', h('span', { class: 'quiet-line' }, t('settings.until', { time: moment(state.me.expires) }))),
    choice(t('settings.language'), 'language', [['en', 'English', 'en'], ['ja', '\u65e5\u672c\u8a9e', 'ja']], spoken(), (value) => { close(); language(value); }),
    choice(t('settings.theme'), 'theme', ['auto', 'light', 'dark'].map((value) => [value, t(`settings.theme.${value}`)]), prefs.theme, (value) => prefer('theme', value)),
    toggle('sound', 'settings.sound', 'settings.sound.note'),
    'vibrate' in navigator ? toggle('vibrate', 'settings.vibrate') : null,
    toggle('keys', 'settings.keys', 'settings.keys.note'),
    mayPause() && !state.paused ? h('div', { class: 'row-of-buttons' }, h('button', { type: 'button', on: { click: () => { close(); askToPause(); } } }, t('paused.pause'))) : null,
    h('div', { class: 'row-of-buttons' }, h('button', { type: 'button', on: { click: () => { close(); help(); } } }, icon('help'), t('help.title')),
      h('button', { type: 'button', class: 'leave', on: { click: () => { close(); logout(); } } }, t('logout'))),
    h('p', { class: 'quiet-line' }, join(t('version', { version: state.me.version }), state.me['non-commercial'] && t('noncommercial')))), { className: 'over' });
}
