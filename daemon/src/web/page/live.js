// Keeping the page current: the daemon's event stream when it can be had, asking again and again when not, and honesty
// about how old the picture is in either case.

import { Refused, get } from './api.js';
import { emit, state, takeQueue } from './state.js';

// The stream says something every 15 s, if only that it is there; three times silent means it is gone.
const SILENT_MS = 47_000;
// With a stream the queue is still asked for now and then: a stream that lies is noticed, and what is shown has an age.
const EVERY_MS = { live: 20_000, polling: 5_000, lost: 3_000, starting: 3_000 };
const HIDDEN_EVERY_MS = 20_000;
const SLOW_MS = 30_000;
// A browser opens six connections to one address. Tabs in the background give theirs back.
const HIDDEN_RELEASE_MS = 60_000;
const WAIT_MS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

/** What is older than this is said to be old. */
export const OLD_MS = 45_000;

let running = false;
let listening = false;
let stop = null;
let timer = 0;
let asked = 0;
let askedSlow = 0;
let busy = false;
let again = false;
let hiddenSince = null;
let keepWhenHidden = () => false;
let onNew = () => {};

/** Starts. `fresh(alerts)` hears of new alerts; `keep()` says whether a hidden tab keeps its stream (for the sound). */
export function start(fresh, keep) {
  onNew = fresh;
  keepWhenHidden = keep;
  if (running) return;
  running = true;
  state.link = { mode: 'starting', freshMs: null };
  refresh();
  if (!listening) listen();
  timer = setInterval(beat, 1000);
  document.addEventListener('visibilitychange', shown);
}

/** Ends everything; nobody is logged in. */
export function end() {
  running = false;
  clearInterval(timer);
  stop?.abort();
  document.removeEventListener('visibilitychange', shown);
}

function mode(now) {
  if (state.link.mode === now) return;
  state.link.mode = now;
  emit('link');
}

function shown() {
  hiddenSince = document.hidden ? performance.now() : null;
  if (!document.hidden) {
    refresh();
    if (!listening) listen();
  }
}

function beat() {
  const now = performance.now();
  const every = document.hidden ? HIDDEN_EVERY_MS : EVERY_MS[state.link.mode];
  if (now - asked >= every) refresh();
  if (stop && hiddenSince !== null && now - hiddenSince > HIDDEN_RELEASE_MS && !keepWhenHidden()) stop.abort('hidden');
}

/** How long ago the daemon last answered, in milliseconds; null before the first answer. */
export const ageMs = () => (state.link.freshMs === null ? null : performance.now() - state.link.freshMs);

/** Asks for the queue now, and for the rest where it is due. Never twice at once. */
export async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  asked = performance.now();
  try {
    const fresh = takeQueue(await get('/api/queue'));
    state.link.freshMs = performance.now();
    if (state.link.mode === 'lost' || state.link.mode === 'starting') mode('polling');
    if (fresh.length > 0) onNew(fresh);
    if (askedSlow === 0 || performance.now() - askedSlow >= SLOW_MS) await refreshSlow();
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
    emit('link');
    if (again && running) {
      again = false;
      setTimeout(refresh, 300);
    }
  }
}

/** Asks for cameras and suspensions. */
export async function refreshSlow() {
  askedSlow = performance.now();
  const [cameras, suspensions] = await Promise.all([get('/api/cameras'), get('/api/suspensions')]);
  state.cameras = Array.isArray(cameras.cameras) ? cameras.cameras : [];
  state.suspensions = Array.isArray(suspensions.suspensions) ? suspensions.suspensions : [];
  state.paused = suspensions.paused ?? null;
  emit('cameras');
  emit('suspensions');
}

function failed(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) emit('login-over');
  else if (error.status === 0 || error.status >= 500) mode('lost');
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// Holds the stream open for as long as there is somebody to look; one loop at a time.
async function listen() {
  listening = true;
  let failures = 0;
  while (running) {
    stop = new AbortController();
    const reason = await stream(stop.signal).catch(() => 'lost');
    const hidden = stop.signal.reason === 'hidden';
    stop = null;
    if (!running) break;
    if (reason === 'login') {
      emit('login-over');
      break;
    }
    if (state.link.mode === 'live') mode('polling');
    if (hidden || (document.hidden && !keepWhenHidden())) break;
    failures = reason === 'heard' ? 0 : Math.min(failures + 1, WAIT_MS.length - 1);
    refresh();
    await pause(WAIT_MS[failures] * (0.75 + Math.random() / 2));
  }
  listening = false;
}

// One connection to the stream, to its end. Read with fetch and not with EventSource, which tells neither a refusal from
// a lost connection nor that the daemon said "still here".
async function stream(signal) {
  const answer = await fetch('/api/events', { headers: { Accept: 'text/event-stream' }, signal, cache: 'no-store' });
  if (answer.status === 401) return 'login';
  if (!answer.ok || !answer.body) return 'refused';
  mode('live');
  refresh();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let heard = 'lost';
  let pending = '';
  for (;;) {
    const silence = setTimeout(() => stop?.abort('silent'), SILENT_MS);
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    clearTimeout(silence);
    if (done) return heard;
    heard = 'heard';
    pending += value.replaceAll('\r', '');
    if (pending.length > 1_000_000) return 'lost';
    const events = pending.split('\n\n');
    pending = events.pop();
    events.forEach(take);
  }
}

function take(text) {
  let name = 'message';
  let data = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    if (line.startsWith('data:')) data += line.slice(5).trim();
  }
  if (data === '' && name === 'message') return;
  let what = {};
  try { what = JSON.parse(data); } catch { /* The name alone is enough to look again. */ }
  if (name === 'suspension' || name === 'calibration' || name === 'missed') askedSlow = 0;
  if (name === 'alert' || name === 'missed') emit('alert', typeof what.id === 'string' ? what.id : null);
  refresh();
}
