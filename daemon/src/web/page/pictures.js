// A face of 16 to 32 pixels beside an enrolled photograph, so that a person can tell: both at the same distance between
// the eyes, the camera's picture enlarged pixel by pixel or smoothly, and the photograph on request as coarse as the
// camera would have seen it. Like is compared with like; nothing is sharpened, nothing invented.

import { photoPath, picturePath } from './api.js';
import { h, icon, say } from './dom.js';
import { day, moment, number, t } from './words.js';

// Of a tile's width, from eye to eye: a patch is one and a half times as wide as the face.
const EYES_OF_WIDTH = 0.36;
const EYES_OF_HEIGHT = 0.27;
const PLAY_MS = 450;

/** What the enlarged pictures look like; kept while the page is open, so that every alert is looked at alike. */
export const look = { smooth: false, coarse: false };

// The daemon cuts both around the detector's box of the face: a camera's picture with a quarter of the box on each side, a
// photograph with a bit more. From that follows how far apart the eyes of a photograph are, in its own pixels.
const PATCH_OF_BOX = 1.5;
const PORTRAIT_OF_BOX = 1.7;
// Of the box's height, from eye to eye; a picture cut by the edge of the frame would say something else.
const EYES_OF_BOX = [0.26, 0.42];

/** Pixels between the eyes of an enrolled photograph; 0 where it is not known where its face is. */
function eyesOf(photo, image, picture) {
  if (photo['face-px'] > 0) return photo['face-px'];
  if (photo.cut === false) return 0;
  const seen = picture?.height > 0 ? (picture['face-px'] * PATCH_OF_BOX) / picture.height : 0.33;
  return (image.naturalHeight / PORTRAIT_OF_BOX) * Math.min(EYES_OF_BOX[1], Math.max(EYES_OF_BOX[0], seen));
}

// Cameras see grey at night. A channel that differs by less than this from the others is noise of the coding.
const GREY_LEVELS = 6;

/** Whether a camera's picture has no colour. */
function isGrey(image) {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  if (!width || !height) return false;
  const look = h('canvas', { width, height }).getContext('2d', { willReadFrequently: true });
  look.drawImage(image, 0, 0);
  const { data } = look.getImageData(0, 0, width, height);
  let apart = 0;
  for (let at = 0; at < data.length; at += 4) apart += Math.abs(data[at] - data[at + 1]) + Math.abs(data[at + 1] - data[at + 2]);
  return apart / (data.length / 2) < GREY_LEVELS;
}

/** Draws a photograph at a few pixels between the eyes: halved again and again, then once to size, as a lens averages. */
function coarsen(canvas, image, width, height, grey = false) {
  let from = image;
  let [w, hgt] = [image.naturalWidth, image.naturalHeight];
  while (w > width * 2 && hgt > height * 2) {
    [w, hgt] = [Math.round(w / 2), Math.round(hgt / 2)];
    const half = h('canvas', { width: w, height: hgt });
    half.getContext('2d').drawImage(from, 0, 0, w, hgt);
    from = half;
  }
  [canvas.width, canvas.height] = [width, height];
  const to = canvas.getContext('2d');
  to.imageSmoothingQuality = 'high';
  to.filter = grey ? 'grayscale(1)' : 'none';
  to.drawImage(from, 0, 0, width, height);
}

/**
 * The two pictures side by side. `show(detail, nth, photo)` changes what is seen; `restyle()` follows `look`.
 * `large` is for the full screen.
 */
export class Compare {
  constructor() {
    this.probe = h('img', { class: 'enlarged', draggable: 'false', alt: '' });
    this.photo = h('img', { class: 'enlarged', draggable: 'false', alt: '' });
    this.canvas = h('canvas', { class: 'enlarged', role: 'img' });
    this.none = h('p', { class: 'no-picture' });
    this.probeNote = h('span', { class: 'note' });
    this.photoNote = h('span', { class: 'note' });
    const tile = (kind, title, note, ...inside) =>
      h('figure', { class: `tile ${kind}` }, h('div', { class: 'stage' }, ...inside),
        h('figcaption', {}, h('b', {}, title), note));
    this.tiles = [
      tile('probe', t('look.camera'), this.probeNote, this.probe, this.none),
      tile('photo', t('look.photo'), this.photoNote, this.photo, this.canvas),
    ];
    this.element = h('div', { class: 'compare' }, ...this.tiles);
    this.photo.addEventListener('load', () => this.layout());
    this.probe.addEventListener('load', () => {
      this.grey = isGrey(this.probe);
      this.layout();
    });
    for (const image of [this.probe, this.photo]) {
      image.addEventListener('error', () => image.classList.add('broken'));
      image.addEventListener('load', () => image.classList.remove('broken'));
    }
    this.watch = new ResizeObserver(() => this.layout());
    this.watch.observe(this.tiles[0].firstChild);
  }

  /** Shows the picture `nth` of the alert's list and the enrolled photograph `photo` (their places, not their numbers). */
  show(detail, nth, photo) {
    this.picture = detail.pictures[nth] ?? null;
    this.enrolled = detail.photos?.[photo] ?? null;
    const who = detail['display-name'] ?? detail.person;
    this.probe.hidden = !this.picture;
    this.none.hidden = Boolean(this.picture);
    say(this.none, t('look.none'));
    if (this.picture) {
      this.set(this.probe, picturePath(detail.id, this.picture.n));
      this.probe.alt = t('alt.picture', { camera: detail.camera, px: this.picture['face-px'], time: moment(this.picture.taken) });
      say(this.probeNote, t('look.short', { px: this.picture['face-px'] }));
    } else say(this.probeNote, '');
    this.photo.hidden = !this.enrolled;
    if (this.enrolled) {
      this.set(this.photo, photoPath(detail.person, this.enrolled.n));
      this.photo.alt = t('alt.photo', { person: who });
      this.canvas.setAttribute('aria-label', t('alt.coarse', { person: who, px: this.picture?.['face-px'] ?? 0 }));
    }
    this.layout();
  }

  set(image, path) {
    if (image.getAttribute('src') !== path) image.src = path;
  }

  /** Follows `look`. */
  restyle() {
    this.layout();
  }

  /** Sizes both so that the eyes are equally far apart. */
  layout() {
    const stage = this.tiles[0].firstChild;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (width === 0 || height === 0) return;
    const wanted = Math.min(width * EYES_OF_WIDTH, height * EYES_OF_HEIGHT);
    const px = this.picture?.['face-px'] > 0 ? this.picture['face-px'] : 0;
    // Whole enlargements keep every pixel of the camera as large as its neighbour.
    const times = px > 0 ? (wanted >= px ? Math.floor(wanted / px) : wanted / px) : 0;
    const eyes = px > 0 ? px * times : wanted;
    if (px > 0) {
      this.size(this.probe, this.picture.width * times, this.picture.height * times);
      this.element.dataset.times = times >= 1 ? number(times) : number(times, 2);
    }
    this.element.classList.toggle('smooth', look.smooth);
    if (!this.enrolled || !this.photo.naturalWidth) return;
    const own = eyesOf(this.enrolled, this.photo, this.picture);
    const whole = Math.min(width / this.photo.naturalWidth, height / this.photo.naturalHeight);
    const scale = own > 0 ? eyes / own : whole;
    const [w, hgt] = [this.photo.naturalWidth * scale, this.photo.naturalHeight * scale];
    const coarse = look.coarse && px > 0 && own > px;
    this.photo.hidden = coarse;
    this.canvas.hidden = !coarse;
    this.size(coarse ? this.canvas : this.photo, w, hgt);
    if (coarse) {
      const reduce = px / own;
      coarsen(this.canvas, this.photo, Math.max(1, Math.round(this.photo.naturalWidth * reduce)),
        Math.max(1, Math.round(this.photo.naturalHeight * reduce)), this.grey);
    }
    say(this.photoNote, coarse ? t(this.grey ? 'look.reduced.grey' : 'look.reduced', { px }) : t('look.sharp', { day: day(this.enrolled.added) }));
  }

  size(element, width, height) {
    element.style.width = `${width}px`;
    element.style.height = `${height}px`;
  }

  /** Lets go of what watches the tiles. */
  close() {
    this.watch.disconnect();
  }
}

// The enrolled photograph at the size of a camera picture, to stand beside the native ones.
function smallPhoto(detail, picture) {
  const photo = detail.photos?.[0];
  if (!photo || !picture) return null;
  const canvas = h('canvas', { width: picture.width, height: picture.height, role: 'img',
    'aria-label': t('alt.coarse', { person: detail['display-name'] ?? detail.person, px: picture['face-px'] }) });
  const image = new Image();
  image.addEventListener('load', () => {
    const own = eyesOf(photo, image, picture);
    // Where its face is not known, the whole photograph as large as the picture of the camera has to do.
    const reduce = own > 0 ? picture['face-px'] / own : Math.min(picture.width / image.naturalWidth, picture.height / image.naturalHeight);
    coarsen(canvas, image, Math.max(1, Math.round(image.naturalWidth * reduce)), Math.max(1, Math.round(image.naturalHeight * reduce)));
    // It took another width than was kept for it.
    canvas.closest('.strip')?.querySelector('[aria-pressed="true"]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  });
  image.src = photoPath(detail.person, photo.n);
  return h('li', { class: 'shot own' }, h('span', { class: 'native' }, canvas), h('span', { class: 'under' }, h('b', {}, t('look.photo.short'))));
}

/**
 * All pictures of the track at native size, one pixel of the camera on one of the page, in the order they were taken, and
 * first the enrolled photograph just as small. `choose(nth)` is called with the place in `detail.pictures`.
 */
export function strip(detail, chosen, choose) {
  const order = detail.pictures.map((picture, nth) => ({ picture, nth }))
    .sort((a, b) => Date.parse(a.picture.taken) - Date.parse(b.picture.taken));
  const first = order.length > 0 ? Date.parse(order[0].picture.taken) : 0;
  const shots = order.map(({ picture, nth }) => {
    const offset = (Date.parse(picture.taken) - first) / 1000;
    const image = h('img', {
      src: picturePath(detail.id, picture.n), width: picture.width, height: picture.height, loading: 'lazy', decoding: 'async', alt: '',
    });
    const label = t('alt.shot', { offset, px: picture['face-px'] });
    const button = h('button', {
      type: 'button', class: 'shot', 'aria-pressed': String(nth === chosen), 'aria-label': label, data: { nth },
      on: { click: () => choose(nth) },
    }, h('span', { class: 'native' }, image),
    h('span', { class: 'under', 'aria-hidden': 'true' }, `${t('look.offset', { offset })} `, h('b', {}, t('look.short', { px: picture['face-px'] }))));
    return h('li', {}, button);
  });
  return { order: order.map(({ nth }) => nth), element: h('ul', { class: 'strip', 'aria-label': t('look.strip') }, smallPhoto(detail, detail.pictures[chosen]), ...shots) };
}

/** Marks the chosen picture of a strip. */
export function mark(element, chosen) {
  for (const shot of element.querySelectorAll('button.shot')) {
    const on = Number(shot.dataset.nth) === chosen;
    shot.setAttribute('aria-pressed', String(on));
    if (on) shot.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
}

/** Runs through the pictures until told to stop. */
export class Player {
  constructor(step, changed) {
    [this.step, this.changed, this.timer] = [step, changed, 0];
  }

  get playing() {
    return this.timer !== 0;
  }

  toggle() {
    if (this.playing) return this.stop();
    this.timer = setInterval(this.step, PLAY_MS);
    this.changed();
  }

  stop() {
    if (!this.playing) return;
    clearInterval(this.timer);
    this.timer = 0;
    this.changed();
  }
}

/** A button of the row below the pictures. `pressed` undefined: it does something; otherwise it is a switch. */
export function tool(name, label, keys, click, pressed, long = label) {
  return h('button', {
    type: 'button', class: 'tool', 'aria-pressed': pressed === undefined ? null : String(pressed), 'aria-keyshortcuts': keys,
    title: `${long} (${keys})`, on: { click },
  }, icon(name), h('span', {}, label));
}
