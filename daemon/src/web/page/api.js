// Talking to the daemon. Every refusal becomes one `Refused` with the status and the daemon's own sentence; the words
// people read are chosen by `kind`.

const PATIENCE_MS = 12_000;

/** Why something was not done. `status` 0: no answer came. */
export class Refused extends Error {
  constructor(status, said, retryAfterS = 0) {
    super(said || `status ${status}`);
    this.status = status;
    this.said = said ?? '';
    this.retryAfterS = retryAfterS;
  }

  /** A word of the group `refused` in the page's words. */
  get kind() {
    const known = { 0: 'offline', 400: 'bad', 401: 'login', 403: 'forbidden', 404: 'gone', 409: 'conflict', 429: 'busy' };
    return known[this.status] ?? (this.status >= 500 ? 'server' : 'bad');
  }
}

let csrf = '';

/** What every change must carry from now on. */
export function carry(token) {
  csrf = typeof token === 'string' ? token : '';
}

async function ask(path, { method = 'GET', body, keepalive = false, patience = PATIENCE_MS } = {}) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), patience);
  const headers = { Accept: 'application/json' };
  if (method === 'POST') {
    headers['Content-Type'] = 'application/json';
    headers['X-Sekisho-Csrf'] = csrf;
  }
  try {
    const answer = await fetch(path, {
      method, headers, keepalive, signal: stop.signal, credentials: 'same-origin', redirect: 'error',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status === 204) return null;
    const text = await answer.text();
    let document = null;
    try { document = JSON.parse(text); } catch { /* Not JSON: the status alone tells. */ }
    if (answer.ok && document !== null && answer.status !== 202) return document;
    const retry = Number(document?.['retry-after-s'] ?? answer.headers.get('Retry-After') ?? 0);
    throw new Refused(answer.ok ? 502 : answer.status, document?.error, Number.isFinite(retry) ? retry : 0);
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(0, '');
  } finally {
    clearTimeout(timer);
  }
}

/** GETs a document. */
export const get = (path) => ask(path);

/** POSTs a document; gives the answer, or null where there is none. */
export const post = (path, body, options = {}) => ask(path, { ...options, method: 'POST', body });

// Ids come from the daemon, and yet nothing but these characters ever goes into a path.
const ID = /^[A-Za-z0-9_.-]{1,128}$/;
const DOTS = /^\.+$/;

/** Whether an id may stand in a path. */
export const plain = (id) => typeof id === 'string' && ID.test(id) && !DOTS.test(id);

function checked(id) {
  if (!plain(id)) throw new Refused(400, `${String(id).slice(0, 40)} is no id`);
  return id;
}

const counted = (n) => {
  if (!Number.isInteger(n) || n < 0 || n > 999) throw new Refused(400, 'no such picture');
  return n;
};

/** Address of an alert. */
export const alertPath = (id) => `/api/alerts/${checked(id)}`;

/** Address of a picture of an alert. */
export const picturePath = (id, n) => `${alertPath(id)}/pictures/${counted(n)}`;

/** Address of an enrolled photograph. */
export const photoPath = (person, n) => `/api/people/${checked(person)}/photos/${counted(n)}`;

const PICTURE = /^\/api\/alerts\/[A-Za-z0-9_-]{1,128}\/pictures\/[0-9]{1,3}$/;

/** An address of a picture that the daemon wrote out itself; null when it is anything else. */
export const writtenPicture = (path) => (typeof path === 'string' && PICTURE.test(path) ? path : null);
