// What may be seen once one's own vote is in, or when there is nothing to vote on: the evidence as the numbers it is, with
// what they mean and what they do not; who voted what; what is still needed.

import { h, icon } from './dom.js';
import { reasonWords } from './facts.js';
import { state } from './state.js';
import { moment, number, t, term } from './words.js';

// Beyond this the tail of a calibration is extrapolated, and a larger figure would only sound more certain.
const TIMES_MAX = 10_000;

/** Where an alert stands, in one sentence. */
function standing(detail) {
  const open = detail.stage === 'machine-confirmed';
  if (!open) return t(`stand.${detail.stage}`, { cause: term('cause', detail.cause) });
  const more = Math.max(1, detail['votes-required'] - agreeing(detail));
  if (detail.voted && detail['caller-enrolled'] && agreeing(detail) >= detail['votes-required']) return t('stand.enroller');
  if (!detail.voted) return t('stand.open', { n: detail['votes-required'], cast: detail['votes-cast'] });
  return t('stand.waiting', { n: more, cast: detail['votes-cast'], required: detail['votes-required'] });
}

// The larger of both sides decides first; unsure counts for neither.
function agreeing(detail) {
  const votes = detail.votes ?? [];
  const of = (verdict) => votes.filter((vote) => vote.verdict === verdict).length;
  return Math.max(of('confirm'), of('reject'));
}

/** Who voted, as people read it. */
function voter(reviewer) {
  const name = String(reviewer);
  if (name.startsWith('reviewer:')) return name.slice(9);
  if (name.startsWith('uid:')) return t('votes.terminal', { uid: name.slice(4) });
  return name;
}

function votesList(detail) {
  const votes = detail.votes ?? [];
  if (votes.length === 0) return h('p', { class: 'quiet-line' }, t('votes.none'));
  const mine = state.me?.identity ?? `reviewer:${state.me?.name}`;
  return h('ul', { class: 'votes-list' }, ...votes.map((vote) => h('li', {},
    icon({ confirm: 'check', reject: 'cross', unsure: 'unsure' }[vote.verdict] ?? 'info'),
    h('span', {}, h('b', {}, vote.reviewer === mine ? t('votes.you') : voter(vote.reviewer)), ': ', t(`answer.${vote.verdict}`),
      vote.reason ? h('span', { class: 'why' }, reasonWords(vote.reason)) : null),
    h('time', { datetime: vote.at }, moment(vote.at)))));
}

/** How a log likelihood ratio reads: a number, and how many times, where that can honestly be said. */
function evidenceWords(llr) {
  if (state.stale) return t('evidence.stale');
  const times = Math.exp(Math.abs(llr));
  const rounded = times >= TIMES_MAX ? TIMES_MAX : Number(times.toPrecision(times < 10 ? 1 : 2));
  if (times < 1.5) return t('evidence.neither');
  const over = times >= TIMES_MAX ? 'over' : 'about';
  return t(llr > 0 ? `evidence.for.${over}` : `evidence.against.${over}`, { times: rounded });
}

function figure(name, value, words) {
  return h('div', {}, h('dt', {}, name), h('dd', {}, h('b', {}, value), words ? h('span', {}, words) : null));
}

function evidence(detail) {
  if (typeof detail.llr !== 'number') return null;
  const second = detail.second;
  const figures = [figure(t('evidence.llr'), number(detail.llr, 1), evidenceWords(detail.llr))];
  if (second && typeof second.llr === 'number') {
    figures.push(figure(t('evidence.second'), number(second.llr, 1), t(second.agrees ? 'evidence.agrees' : 'evidence.differs')));
  }
  const combined = detail['combined-llr'] ?? second?.['combined-llr'];
  if (typeof combined === 'number') figures.push(figure(t('evidence.combined'), number(combined, 1), t('evidence.combined.why')));
  if (typeof detail.fpir === 'number') {
    const perMille = detail.fpir * 1000;
    figures.push(figure(t('evidence.fpir'), t('evidence.permille', { n: number(perMille, perMille < 0.1 ? 3 : 1) }), t('evidence.fpir.why')));
  }
  figures.push(figure(t('evidence.frames'), number(detail['frames-used']), t('evidence.px', { px: detail['face-px'] })));
  return h('section', { class: 'evidence' }, h('h2', {}, t('evidence.title')), h('dl', {}, ...figures),
    h('p', { class: 'quiet-line' }, t('evidence.not')));
}

/** Everything that was blind, or of an alert that has ended. */
export function resultPanel(detail) {
  const icons = { confirmed: 'check', rejected: 'cross', 'machine-confirmed': 'clock', candidate: 'clock' };
  return h('div', { class: 'result' },
    h('p', { class: `standing ${detail.stage}` }, icon(icons[detail.stage] ?? 'info'), h('span', {}, standing(detail))),
    h('section', {}, h('h2', {}, t('votes.title')), votesList(detail)),
    evidence(detail),
    detail.enrolled ? h('p', { class: 'quiet-line' }, t('enrolled.line', { day: moment(detail.enrolled), by: detail['enrolled-by'] ? voter(detail['enrolled-by']) : t('enrolled.unknown') })) : null);
}
