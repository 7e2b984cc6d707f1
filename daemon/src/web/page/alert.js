// One alert: look, decide, see what came of it.

import { Refused, alertPath, get } from './api.js';
import { announce, dialog, fill, h, icon, say } from './dom.js';
import { earlierNote, factsPanel, pictureWords, whereLine } from './facts.js';
import { Compare, Player, look, mark, strip, tool } from './pictures.js';
import { bestOf, called, deadline, votesOf, wanted } from './queue.js';
import { freshness } from './notices.js';
import { help } from './panels.js';
import { resultPanel } from './result.js';
import { mayVote, state } from './state.js';
import { VerdictBar } from './verdict.js';
import { cast, undo, voteOn } from './votes.js';
import { join, t } from './words.js';

const SETTLE_MS = 250;

/** The view of one alert. `go(hash)` changes the view, `back` is where one came from. */
export class AlertView {
  constructor(id, go, back) {
    Object.assign(this, { id, go, back, detail: null, nth: 0, photo: 0, order: [] });
    this.topics = ['queue', 'outbox'];
    this.compare = new Compare();
    this.player = new Player(() => this.turn(1, true), () => this.drawTools());
    this.bar = new VerdictBar((verdict, reason) => this.vote(verdict, reason));
    this.title = h('h1', { tabindex: '-1' }, t('loading'));
    this.position = h('span', { class: 'position' });
    this.where = h('div', { class: 'where-box' });
    this.until = h('div', { class: 'until' });
    this.tools = h('div', { class: 'tools', role: 'group', 'aria-label': t('look.tools') });
    this.stripBox = h('div', { class: 'strip-box' });
    this.pictureNote = h('p', { class: 'quiet-line', 'aria-live': 'polite' });
    this.side = h('div', { class: 'side' });
    this.foot = h('div', { class: 'foot' });
    this.body = h('div', { class: 'alert-body', hidden: true },
      h('div', { class: 'pictures' }, this.compare.element, this.tools, this.stripBox), this.side);
    this.element = h('section', { class: 'view alert-view' },
      h('div', { class: 'alert-head' },
        h('div', { class: back === '#/queue' ? 'crumbs from-queue' : 'crumbs' },
          h('a', { class: 'tool to-list', href: back }, icon('back'), h('span', {}, t(back === '#/queue' ? 'queue.title' : 'history.title'))), freshness(),
          this.position, this.stepButton('back', 'prev', -1), this.stepButton('next', 'next', 1),
          h('button', { type: 'button', class: 'tool step small-help', 'aria-label': t('help.title'), on: { click: help } }, icon('help'))),
        this.title, this.where, this.until),
      this.body, this.foot);
    this.load();
  }

  stepButton(drawing, word, by) {
    return h('button', { type: 'button', class: 'tool step', title: `${t(`step.${word}`)} (${by > 0 ? 'J' : 'K'})`, 'aria-label': t(`step.${word}`), on: { click: () => this.step(by) } }, icon(drawing));
  }

  /** Asks for the alert, now or again. */
  async load() {
    try {
      this.take(await get(alertPath(this.id)));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401 || this.detail) return;
      say(this.title, t(`refused.${error.kind}`));
      fill(this.foot, h('p', { class: 'hint' }, icon('info'), h('span', {}, join(t(`todo.${error.kind}`), error.said))));
    }
  }

  /** Takes over what the daemon says about it. */
  take(detail) {
    if (detail?.id !== this.id) return;
    const first = !this.detail;
    const ended = !first && this.detail.stage !== detail.stage;
    const opened = !first && this.detail.blind && !detail.blind;
    this.detail = detail;
    this.nth = first ? bestOf(detail.pictures) : Math.min(this.nth, Math.max(0, detail.pictures.length - 1));
    say(this.title, detail['may-vote'] ? t('alert.asks', { person: called(detail) }) : called(detail));
    fill(this.where, whereLine(detail));
    const earlier = detail['earlier-rejections']?.length ?? 0;
    fill(this.until, detail.expires ? deadline(detail) : null, h('span', { class: 'votes' }, icon('people'), votesOf(detail)),
      earlier > 0 ? h('button', { type: 'button', class: 'to-earlier', on: { click: () => this.showEarlier() } }, icon('warn'), t('earlier.short', { n: earlier })) : null);
    this.drawStrip();
    this.draw();
    this.body.hidden = false;
    this.update();
    this.compare.layout();
    mark(this.strip, this.nth);
    // What was blind stands first on a phone; whoever had scrolled down to vote would not see it.
    if (opened) window.scrollTo(0, 0);
    if (ended && !detail.voted) announce(t(`stand.${detail.stage}`, { cause: '' }));
  }

  // On a phone the earlier mistakes lie below the pictures; this says that they are there.
  showEarlier() {
    const section = this.side.querySelector('.earlier');
    section?.scrollIntoView({ block: 'center' });
    section?.focus({ preventScroll: true });
  }

  drawStrip() {
    const key = this.detail.pictures.map((picture) => picture.n).join();
    if (key === this.drawn) return;
    this.drawn = key;
    const { order, element } = strip(this.detail, this.nth, (nth) => this.choose(nth));
    this.order = order;
    this.strip = element;
    const photos = this.detail.photos ?? [];
    const several = photos.length > 1
      ? h('div', { class: 'photos', role: 'group', 'aria-label': t('look.photos') }, ...photos.map((_, nth) => h('button', {
        type: 'button', class: 'pick', 'aria-pressed': String(nth === this.photo), on: { click: (event) => this.choosePhoto(nth, event.currentTarget) },
      }, t('look.photo.nth', { nth: nth + 1 }))))
      : null;
    fill(this.stripBox, h('div', { class: 'strip-head' }, h('p', { class: 'strip-title' }, t(order.length > 1 ? 'look.strip.all' : 'look.strip.one')), several), element);
  }

  choosePhoto(nth, button) {
    this.photo = nth;
    for (const other of button.parentElement.children) other.setAttribute('aria-pressed', String(other === button));
    this.draw();
  }

  choose(nth) {
    this.player.stop();
    this.nth = nth;
    this.draw();
  }

  turn(by, playing = false) {
    if (this.order.length < 2) return;
    if (!playing) this.player.stop();
    const at = this.order.indexOf(this.nth);
    this.nth = this.order[(at + by + this.order.length) % this.order.length];
    this.draw();
  }

  draw() {
    this.compare.show(this.detail, this.nth, this.photo);
    this.zoomed?.show(this.detail, this.nth, this.photo);
    mark(this.strip, this.nth);
    const words = pictureWords(this.detail.pictures[this.nth]);
    say(this.pictureNote, words.length > 0 ? t('picture.note', { words: words.join(t('list.comma')) }) : '');
    this.pictureNote.hidden = words.length === 0;
    this.drawTools();
  }

  drawTools() {
    const focus = document.activeElement?.dataset?.tool;
    const make = (name, drawing, keys, click, pressed) => {
      const button = tool(drawing, t(`look.${name}`), keys, click, pressed, t(`look.${name}.why`));
      button.dataset.tool = name;
      return button;
    };
    fill(this.tools,
      make('coarse', 'same', 'c', () => this.restyle('coarse'), look.coarse),
      make('smooth', 'pixels', 's', () => this.restyle('smooth'), look.smooth),
      this.order.length > 1 ? make(this.player.playing ? 'stop' : 'play', this.player.playing ? 'pause' : 'play', 'p', () => this.player.toggle()) : null,
      make('zoom', 'zoom', 'z', () => this.zoom()));
    if (focus) this.tools.querySelector(`[data-tool="${CSS.escape(focus)}"]`)?.focus();
  }

  restyle(what) {
    look[what] = !look[what];
    this.compare.restyle();
    this.zoomed?.restyle();
    this.drawTools();
  }

  /** Both pictures as large as the screen allows. */
  zoom() {
    if (this.zoomed || !this.detail) return;
    this.zoomed = new Compare();
    this.zoomBox = dialog(t('look.zoom'), (close) => h('div', { class: 'zoomed' }, this.zoomed.element,
      h('div', { class: 'tools' }, tool('back', t('look.earlier'), '\u2190', () => this.turn(-1)), tool('next', t('look.later'), '\u2192', () => this.turn(1)),
        tool('same', t('look.coarse'), 'c', () => this.restyle('coarse')), tool('pixels', t('look.smooth'), 's', () => this.restyle('smooth')),
        tool('cross', t('close'), 'Esc', close))),
    { className: 'zoom', onClose: () => { this.zoomed.close(); this.zoomed = null; } });
    this.zoomed.show(this.detail, this.nth, this.photo);
  }

  vote(verdict, reason) {
    cast(this.id, verdict, reason, this.detail.camera);
    announce(t('sending.said', { answer: t(`answer.${verdict}`) }));
    this.update();
    this.foot.querySelector('button')?.focus({ preventScroll: true });
  }

  /** The next alert that wants this person's vote; the queue when there is none. */
  next() {
    const left = wanted().filter((alert) => alert.id !== this.id);
    this.go(left.length > 0 ? `#/alert/${left[0].id}` : '#/queue');
  }

  step(by) {
    const at = state.queue.findIndex((alert) => alert.id === this.id);
    const to = state.queue[at + by];
    if (at >= 0 && to) this.go(`#/alert/${to.id}`);
    else if (by > 0) this.next();
    else this.go(this.back);
  }

  /** Draws the foot and the side anew where their state changed. */
  update() {
    if (!this.detail) return;
    const at = state.queue.findIndex((alert) => alert.id === this.id);
    say(this.position, at >= 0 ? t('alert.position', { nth: at + 1, of: state.queue.length }) : '');
    const listed = state.queue[at];
    if (this.detail.expires && state.queueKnown && (!listed || listed.changed !== this.detail.changed)) this.settle();
    const mine = voteOn(this.id);
    const phase = JSON.stringify([mine?.phase ?? '', this.detail.changed, this.detail['may-vote'], this.detail.blind, wanted().length > 0]);
    if (phase === this.phase) return;
    this.phase = phase;
    this.drawSide();
    this.drawFoot(mine);
  }

  // The queue knows more than we do: ask, once things have settled.
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.load(), SETTLE_MS);
  }

  drawSide() {
    const blind = this.detail.blind || this.detail['may-vote'];
    this.body.classList.toggle('decided', !blind);
    if (blind) fill(this.side, factsPanel(this.detail, this.pictureNote));
    else fill(this.side, resultPanel(this.detail), this.pictureNote, h('div', { class: 'facts' }, earlierNote(this.detail)));
  }

  drawFoot(mine) {
    const more = wanted().some((alert) => alert.id !== this.id);
    const next = h('button', { type: 'button', class: 'primary next', on: { click: () => this.next() } },
      h('span', {}, t(more ? 'step.next' : 'step.queue')), h('kbd', { 'aria-hidden': 'true' }, 'J'));
    if (mine) return fill(this.foot, this.sending(mine), next);
    if (this.detail['may-vote'] && mayVote()) {
      if (this.bar.verdict) return undefined;
      this.bar.ask();
      return fill(this.foot, this.bar.element);
    }
    const why = this.whyNot();
    return fill(this.foot, why ? h('p', { class: 'hint' }, icon('info'), h('span', {}, why)) : null, next);
  }

  // Why there is nothing to answer, where that is not plain to see.
  whyNot() {
    if (this.detail.voted || !this.detail.expires || this.detail['may-vote']) return null;
    if (!mayVote()) return t(`role.${state.me?.role}`);
    return this.detail.stage === 'candidate' ? t('stand.candidate') : t('role.late');
  }

  sending(mine) {
    const word = t(`answer.${mine.verdict}`);
    const back = h('button', { type: 'button', class: 'undo', 'aria-keyshortcuts': 'Escape', on: { click: () => this.takeBack() } }, t('sending.undo'), h('kbd', { 'aria-hidden': 'true' }, 'Esc'));
    return h('p', { class: `sending ${mine.phase}` }, h('span', {}, h('b', {}, word), ' ', t(`sending.${mine.phase}`)), mine.phase === 'grace' ? back : null);
  }

  /** Undoes the vote that still can be. */
  takeBack() {
    if (undo() !== this.id) return;
    announce(t('sending.undone'));
    this.bar.ask();
    this.update();
    this.foot.querySelector('.answer')?.focus({ preventScroll: true });
  }

  /** A key; true when it meant something. */
  key(key) {
    if (this.zoomed) {
      if (key === 'ArrowLeft' || key === 'ArrowRight') this.turn(key === 'ArrowRight' ? 1 : -1);
      else if (key === 'c' || key === 's') this.restyle(key === 'c' ? 'coarse' : 'smooth');
      else if (key === 'z') this.zoomBox.close();
      else return false;
      return true;
    }
    if (!this.detail) return false;
    const mine = voteOn(this.id);
    if (key === 'Escape' && mine?.phase === 'grace') {
      this.takeBack();
      return true;
    }
    if (!mine && this.detail['may-vote'] && this.bar.key(key)) return true;
    const does = {
      j: () => (mine || !this.detail['may-vote'] ? this.next() : this.step(1)), k: () => this.step(-1), z: () => this.zoom(), c: () => this.restyle('coarse'), s: () => this.restyle('smooth'),
      p: () => this.player.toggle(), ArrowLeft: () => this.turn(-1), ArrowRight: () => this.turn(1), Escape: () => this.go(this.back),
    }[key];
    does?.();
    return Boolean(does);
  }

  /** Lets go of timers and observers. */
  close() {
    this.player.stop();
    this.zoomBox?.close();
    this.compare.close();
    clearTimeout(this.settling);
  }
}
