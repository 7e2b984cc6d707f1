// Votes on their way. A vote cannot be taken back once the daemon has it, so it waits a few seconds in which it can be
// undone. After that it is sent once; it survives a lost connection, an ended log-in and a closed page.
//
//   grace -> sending -> (gone: counted)
//     |         |  \-> retrying -> sending ...      no answer came: first look whether it arrived
//     |         \----> held                          the log-in is over: sent when the same person is back
//     \-> (gone: undone)
//
// The daemon takes one vote a reviewer and alert, so a vote that was sent twice after all would be refused, not counted.

import { Refused, alertPath, carry, get, plain, post } from './api.js';
import { emit, state } from './state.js';

/** How long a vote can be undone. */
const GRACE_MS = 4_000;

const KEPT = 'sekisho-unsent';
const KEPT_MAX = 20;
const KEPT_FOR_MS = 24 * 3600 * 1000;
// Another tab may be sending a vote this young itself.
const YOUNG_MS = 20_000;
const WAIT_MS = [2_000, 4_000, 8_000, 15_000, 30_000];

const entries = new Map();

/** Votes on their way, oldest first: `{ alert, verdict, reason, by, camera, phase, until }`. */
export const onTheirWay = () => [...entries.values()];

/** The vote on this alert that is on its way, if any. */
export const voteOn = (alert) => entries.get(alert);

function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(KEPT) ?? '[]');
    return Array.isArray(list) ? list.filter((vote) => plain(vote?.alert) && typeof vote.at === 'number') : [];
  } catch {
    return [];
  }
}

function keep(change) {
  const young = kept().filter((vote) => Date.now() - vote.at < KEPT_FOR_MS);
  const list = change(young).slice(-KEPT_MAX);
  try {
    if (list.length === 0) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, JSON.stringify(list));
  } catch { /* A browser that keeps nothing: the vote is still sent, it only does not survive a crash. */ }
}

// Who votes, as the daemon authenticated them: a ticket and a password of one person are the same.
const whoever = () => state.me?.identity ?? state.me?.name ?? '';

const same = (vote) => (other) => other.alert === vote.alert && other.by === vote.by;

function forget(entry) {
  entries.delete(entry.alert);
  clearTimeout(entry.timer);
  keep((list) => list.filter((vote) => !same(entry)(vote)));
  emit('outbox');
}

/** Casts a vote: sent when its time to be undone is over, or at once when another is cast or the page goes away. */
export function cast(alert, verdict, reason, camera) {
  if (entries.has(alert)) return;
  sendNow();
  const entry = { alert, verdict, reason, camera, by: whoever(), at: Date.now(), phase: 'grace', tries: 0 };
  entry.until = performance.now() + GRACE_MS;
  entries.set(alert, entry);
  keep((list) => [...list, { alert, verdict, reason, camera, by: entry.by, at: entry.at }]);
  entry.timer = setTimeout(() => send(entry), GRACE_MS);
  emit('outbox');
}

/** Takes back the vote that can still be taken back; gives its alert, or null. */
export function undo() {
  const entry = onTheirWay().find((one) => one.phase === 'grace');
  if (!entry) return null;
  forget(entry);
  return entry.alert;
}

/** Sends what waits in grace without waiting longer. */
function sendNow() {
  for (const entry of entries.values()) if (entry.phase === 'grace') send(entry);
}

async function send(entry) {
  if (entry.phase === 'sending' || !entries.has(entry.alert)) return;
  // Set before anything else happens, so that the page going away now does not send a second time.
  entry.phase = 'sending';
  clearTimeout(entry.timer);
  emit('outbox');
  const body = { verdict: entry.verdict, reason: entry.reason };
  try {
    // Kept alive: the request outlives the page.
    const detail = await post(`${alertPath(entry.alert)}/votes`, body, { keepalive: true });
    forget(entry);
    emit('voted', { alert: entry.alert, detail });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await refused(entry, error);
  }
}

async function refused(entry, error) {
  if (error.status === 401) {
    entry.phase = 'held';
    emit('outbox');
    emit('login-over');
  } else if (error.status === 403 && !entry.renewed && (await renewed(entry))) {
    await send(entry);
  } else if ([0, 429].includes(error.status) || error.status >= 500) {
    later(entry, error.retryAfterS * 1000);
  } else {
    await settle(entry, error);
  }
}

// Another tab logged in anew: this one carries an old token. Once, and only if it is still the same person.
async function renewed(entry) {
  entry.renewed = true;
  const session = await get('/api/session').catch(() => null);
  if ((session?.identity ?? session?.name) !== entry.by) return false;
  carry(session.csrf);
  Object.assign(state.me, session);
  entry.phase = 'renewed';
  return true;
}

function later(entry, atLeastMs) {
  entry.phase = 'retrying';
  entry.tries += 1;
  const wait = WAIT_MS[Math.min(entry.tries, WAIT_MS.length) - 1];
  entry.timer = setTimeout(() => lookAndSend(entry), Math.max(wait, atLeastMs));
  emit('outbox');
}

// No answer does not mean that the vote did not arrive.
async function lookAndSend(entry) {
  try {
    const detail = await get(alertPath(entry.alert));
    if (!arrived(entry, detail)) await send(entry);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await refused(entry, error.status === 404 ? new Refused(409, error.said) : error);
  }
}

function arrived(entry, detail) {
  if (detail.voted) {
    forget(entry);
    emit('voted', { alert: entry.alert, detail });
    return true;
  }
  if (detail['may-vote']) return false;
  forget(entry);
  emit('vote-refused', { entry, said: detail['may-not-vote-because'] ?? '' });
  return true;
}

// Refused for good, unless it is there already.
async function settle(entry, error) {
  const detail = await get(alertPath(entry.alert)).catch(() => null);
  if (detail?.voted) return void arrived(entry, detail);
  forget(entry);
  emit('vote-refused', { entry, said: error.said });
}

/** Somebody logged in: their held votes go out; another person's stay where they are and are not shown. */
export function loggedIn() {
  for (const entry of [...entries.values()]) {
    if (entry.by !== whoever()) entries.delete(entry.alert);
    else if (entry.phase === 'held') lookAndSend(entry);
  }
  emit('outbox');
  const left = kept().filter((vote) => vote.by === whoever() && !entries.has(vote.alert));
  for (const vote of left) setTimeout(() => offer(vote), Math.max(0, YOUNG_MS - (Date.now() - vote.at)));
}

// A vote that an earlier page could not send. Whether it still holds is for the person to say, not for us.
async function offer(vote) {
  if (!kept().some(same(vote)) || entries.has(vote.alert) || whoever() !== vote.by) return;
  const detail = await get(alertPath(vote.alert)).catch((error) => error);
  if (detail instanceof Refused && detail.status !== 404) return;
  if (detail['may-vote']) {
    entries.set(vote.alert, { ...vote, phase: 'found', tries: 0 });
    emit('outbox');
    return;
  }
  keep((list) => list.filter((other) => !same(vote)(other)));
  if (!detail.voted) emit('vote-refused', { entry: vote, said: '' });
}

/** Sends or discards a vote of an earlier page. */
export function decideFound(alert, go) {
  const entry = entries.get(alert);
  if (entry?.phase !== 'found') return;
  if (go) send(entry);
  else forget(entry);
}

// On a phone the page may be ended any time after it is hidden, without another word.
window.addEventListener('pagehide', sendNow);
document.addEventListener('visibilitychange', () => { if (document.hidden) sendNow(); });
