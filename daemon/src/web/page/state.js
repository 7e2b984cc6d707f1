// What the page knows, in one place, and who wants to hear when it changes.

/** The one state. Times of the daemon are corrected by `skewMs`, so that a phone with a wrong clock counts right. */
export const state = {
  me: null,            // the log-in: name, role, csrf, expires, version, non-commercial
  queue: [],           // open alerts that wait for people, oldest deadline first
  waiting: 0,          // of them, those that want this person's vote
  hidden: 0,           // and those that were not sent
  candidates: 0,
  skewMs: 0,
  queueKnown: false,
  stale: null,         // what is said about a calibration that no longer fits
  cameras: null,
  suspensions: [],
  paused: null,
  link: { mode: 'starting', freshMs: null }, // starting | live | polling | lost
};

const listeners = new Map();

/** Calls `hear` at every `topic` (`queue`, `cameras`, `suspensions`, `link`, `alert`, `login-over`, `voted`, `outbox`). */
export function on(topic, hear) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(hear);
  return () => listeners.get(topic).delete(hear);
}

/** Tells everybody who listens. */
export function emit(topic, what) {
  for (const hear of [...(listeners.get(topic) ?? [])]) hear(what);
}

/** The daemon's clock, in milliseconds. */
export const daemonNow = () => Date.now() + state.skewMs;

/** Milliseconds since the daemon wrote `iso`. */
export const sinceMs = (iso) => daemonNow() - Date.parse(iso);

/** Whether the one who is logged in may vote at all. */
export const mayVote = () => ['reviewer', 'admin'].includes(state.me?.role);

/** Alerts the page lists at once; beyond it the number is said instead. */
const QUEUE_SHOWN_MAX = 500;

/** Takes over a queue answer. Gives the alerts that were not there before. */
export function takeQueue(answer) {
  const alerts = Array.isArray(answer.alerts) ? answer.alerts : [];
  const before = new Set(state.queue.map((alert) => alert.id));
  const known = state.queueKnown;
  if (answer.now) state.skewMs = Date.parse(answer.now) - Date.now();
  state.queue = alerts.slice(0, QUEUE_SHOWN_MAX);
  const total = Number.isInteger(answer.waiting) ? answer.waiting : alerts.length;
  state.hidden = Math.max(0, total - state.queue.length);
  // Those one has voted on come last: where one of them was sent, nothing that was left out wants a vote.
  const wanted = state.queue.filter((alert) => !alert.voted).length;
  state.waiting = wanted + (wanted === state.queue.length ? state.hidden : 0);
  state.candidates = Number.isInteger(answer.candidates) ? answer.candidates : 0;
  if ('calibration-stale' in answer) state.stale = answer['calibration-stale'];
  state.queueKnown = true;
  emit('queue');
  return known ? state.queue.filter((alert) => !before.has(alert.id) && !alert.voted) : [];
}
