// The page's words. They live in words-en.json and words-ja.json, which have the same keys and the same {places}; a
// test compares them. An entry is a text, or { one, other } where English needs both.

const LANGUAGES = ['en', 'ja'];

let words = {};
let language = 'en';
let plural = new Intl.PluralRules('en');
const formats = new Map();

/** The language in force: `en` or `ja`. */
export const spoken = () => language;

/** What was chosen before, otherwise what the browser prefers. */
export function preferred() {
  const kept = localStorage.getItem('sekisho-language');
  if (LANGUAGES.includes(kept)) return kept;
  return (navigator.languages?.[0] ?? navigator.language ?? 'en').toLowerCase().startsWith('ja') ? 'ja' : 'en';
}

/** Loads a language; `keep` remembers it for the next time. */
export async function speak(wanted, keep = false) {
  const answer = await fetch(`/assets/words-${wanted}.json`);
  if (!answer.ok) throw new Error(`the words of ${wanted} cannot be had: ${answer.status}`);
  words = await answer.json();
  language = wanted;
  plural = new Intl.PluralRules(wanted);
  document.documentElement.lang = wanted;
  if (keep) localStorage.setItem('sekisho-language', wanted);
}

/** The words for `key` with {places} filled in; numbers are written as the language writes them. */
export function t(key, values = {}) {
  let text = words[key];
  if (text === undefined) return key;
  if (typeof text === 'object') text = text[plural.select(values.n)] ?? text.other;
  return text.replace(/\{([a-z]+)\}/g, (place, name) => {
    const value = values[name];
    if (value === undefined) return place;
    return typeof value === 'number' ? number(value) : String(value);
  });
}

/** The words for one of the daemon's own words; that word itself where the page does not know it. */
export function term(group, word) {
  return words[`${group}.${word}`] ?? String(word);
}

/** Sentences one after another: with a space between them where the language has spaces. */
export const join = (...sentences) => sentences.filter(Boolean).join(language === 'ja' ? '' : ' ');

/** A number as people write it. */
export function number(value, digits = Number.isInteger(value) ? 0 : 1) {
  const key = `${language} ${digits}`;
  // Making a formatter costs a hundred times what using it does, and every row of the queue counts its seconds.
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }));
  return formats.get(key).format(value);
}

/** A moment in this browser's own time zone, to the second; the date only where it is not today. */
export function moment(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return '-';
  const clock = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
  const today = at.toDateString() === new Date().toDateString();
  const day = { year: 'numeric', month: 'short', day: 'numeric' };
  return new Intl.DateTimeFormat(language, today ? clock : { ...day, ...clock }).format(at);
}

/** A day in this browser's own time zone. */
export function day(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return '-';
  return new Intl.DateTimeFormat(language, { year: 'numeric', month: 'short', day: 'numeric' }).format(at);
}

/** A length of time: two units at the most, seconds only where they matter. */
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [d, hours, min] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d > 0) return t('span.d', { d, h: hours });
  if (hours > 0) return t('span.h', { h: hours, m: min });
  if (min >= 10) return t('span.m', { m: min });
  if (min > 0) return t('span.ms', { m: min, s: s % 60 });
  return t('span.s', { s });
}
