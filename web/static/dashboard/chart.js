// The last hour, minute by minute: Plan A above the line, Plan B below it, on one scale.

import { draw, el, find, say } from './dom.js';
import { clock, count, lasting } from './words.js';

const MARGIN = { top: 16, right: 8, bottom: 20, left: 44 };
const SIDES = ['A', 'B'];
const NAMES = { succeeded: 'made', failed: 'failed', took: 'work p95', waited: 'wait p95' };

export class Chart {
  constructor(place, readout, table) {
    this.place = place;
    this.readout = readout;
    this.table = table;
    this.metric = 'succeeded';
    this.minutes = null;
    this.marks = [];
    this.chosen = null;
    new ResizeObserver(() => this.render()).observe(place);
    place.addEventListener('pointermove', (event) => this.choose(this.minuteAt(event)));
    place.addEventListener('pointerleave', () => this.choose(null));
    place.addEventListener('keydown', (event) => this.onKey(event));
    place.addEventListener('blur', () => this.choose(null));
  }

  show(minutes) {
    this.minutes = minutes;
    this.render();
  }

  /** Moments worth a flag: `{at, kind}`. */
  mark(moments) {
    this.marks = moments;
    this.render();
  }

  pick(metric) {
    this.metric = metric;
    this.render();
  }

  get timed() {
    return this.metric === 'took' || this.metric === 'waited';
  }

  value(side, minute) {
    return this.minutes[side][this.metric][minute] ?? 0;
  }

  say(number) {
    return this.timed ? lasting(number) : count(number);
  }

  render() {
    const { width, height } = this.place.getBoundingClientRect();
    if (!this.minutes || !width) return;
    const size = this.minutes.A.succeeded.length;
    const failing = this.metric === 'succeeded' ? 'failed' : null;
    const most = SIDES.map((side) =>
      Math.max(...this.minutes[side][this.metric].map((n, i) => (n ?? 0) + (failing ? this.minutes[side][failing][i] : 0))),
    );
    const empty = Math.max(...most) === 0;
    const tick = nice(Math.max(...most) / 3, this.timed);
    const [above, below] = most.map((number) => Math.max(tick, Math.ceil(number / tick) * tick));
    const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    const unit = (box.bottom - box.top) / (above + below);
    const middle = box.top + above * unit;
    const step = (box.right - box.left) / size;
    this.geometry = { box, step, size };

    const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' });
    if (!empty) this.drawScale(svg, { tick, above, below, unit, middle });
    this.drawTimes(svg, height);
    if (this.chosen !== null) {
      const x = box.left + this.chosen * step;
      svg.append(draw('rect', { class: 'cursor', x, y: box.top, width: step, height: box.bottom - box.top }));
    }
    SIDES.forEach((side, lower) => {
      for (let minute = 0; minute < size; minute += 1) {
        const x = box.left + minute * step + step * 0.12;
        let reached = 0;
        const stack = [[this.metric, this.metric === 'failed' ? 'bar-bad' : `bar-${side.toLowerCase()}`]];
        if (failing) stack.push([failing, 'bar-bad']);
        for (const [metric, look] of stack) {
          const number = this.minutes[side][metric][minute] ?? 0;
          if (!number) continue;
          const tall = Math.max(1.5, number * unit);
          const y = lower ? middle + reached : middle - reached - tall;
          svg.append(draw('rect', { class: look, x, y, width: Math.max(1, step * 0.76), height: tall, rx: Math.min(1.5, step / 4) }));
          reached += tall;
        }
      }
    });
    this.drawMarks(svg);
    svg.append(
      draw('text', { class: 'side-a', x: box.left + 4, y: box.top + 9 }, 'Plan A'),
      draw('text', { class: 'side-b', x: box.left + 4, y: box.bottom - 3 }, 'Plan B'),
    );
    const children = [svg];
    if (empty) children.push(el('p', { class: 'empty' }, el('b', {}, NOTHING[this.metric]), 'This fills up by itself.'));
    this.place.replaceChildren(...children);
    this.place.setAttribute('aria-label', this.summary());
    this.tell();
    this.fillTable();
  }

  drawScale(svg, { tick, above, below, unit, middle }) {
    const { left, right } = this.geometry.box;
    for (let line = Math.round(-below / tick); line <= Math.round(above / tick); line += 1) {
      const y = middle - line * tick * unit;
      const label = line ? this.say(Math.abs(line) * tick) : '0';
      svg.append(
        draw('line', { class: line ? 'grid-line' : 'axis', x1: left, x2: right, y1: y, y2: y }),
        draw('text', { x: left - 6, y: y + 4, 'text-anchor': 'end' }, label),
      );
    }
  }

  drawTimes(svg, height) {
    const { box, step, size } = this.geometry;
    const every = box.right - box.left < 420 ? 20 : 10;
    for (let minute = 0; minute < size; minute += 1) {
      if ((this.minutes.first + minute) % every) continue;
      const x = box.left + minute * step + step / 2;
      svg.append(draw('text', { x, y: height - 4, 'text-anchor': 'middle' }, clock((this.minutes.first + minute) * 60)));
    }
  }

  drawMarks(svg) {
    const { box, step, size } = this.geometry;
    const flags = { mode: '⇄', incident: '▲', 'incident over': '▲' };
    const drawn = new Set();
    for (const { at, kind } of this.marks) {
      const minute = Math.floor(at / 60) - this.minutes.first;
      if (!flags[kind] || minute < 0 || minute >= size || drawn.has(minute)) continue;
      drawn.add(minute);
      const x = box.left + (minute + 0.5) * step;
      const look = kind === 'mode' ? 'mark' : 'mark mark-incident';
      svg.append(
        draw('line', { class: look, x1: x, x2: x, y1: box.top, y2: box.bottom }),
        draw('text', { class: 'flag', x, y: box.top - 4, 'text-anchor': 'middle' }, flags[kind]),
      );
    }
  }

  minuteAt(event) {
    if (!this.geometry) return null;
    const { box, step, size } = this.geometry;
    const x = event.clientX - this.place.getBoundingClientRect().left - box.left;
    return Math.min(size - 1, Math.max(0, Math.floor(x / step)));
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -999, End: 999 };
    if (!(event.key in steps) || !this.geometry) return;
    event.preventDefault();
    const last = this.geometry.size - 1;
    this.choose(Math.min(last, Math.max(0, (this.chosen ?? last + 1) + steps[event.key])));
  }

  choose(minute) {
    if (minute === this.chosen) return;
    this.chosen = minute;
    this.render();
  }

  tell() {
    if (this.chosen === null) return say(this.readout, 'Point at a minute, or use the arrow keys. A is above the line, B below.');
    const at = this.minutes.first + this.chosen;
    say(this.readout, `${clock(at * 60)} · ${SIDES.map((side) => this.line(side, this.chosen)).join(' · ')}`);
  }

  line(side, minute) {
    const of = this.minutes[side];
    const parts = [`${count(of.succeeded[minute])} made`];
    if (of.failed[minute]) parts.push(`${count(of.failed[minute])} failed`);
    if (of.took[minute] !== null) parts.push(`work ${lasting(of.took[minute])}`, `wait ${lasting(of.waited[minute])}`);
    return `${side}: ${parts.join(', ')}`;
  }

  summary() {
    const sum = (side, metric) => this.minutes[side][metric].reduce((a, b) => a + (b ?? 0), 0);
    const told = SIDES.map((side) => `Plan ${side} made ${sum(side, 'succeeded')}, failed ${sum(side, 'failed')}`);
    return `The last 60 minutes, ${NAMES[this.metric]} a minute. ${told.join('; ')}. Arrow keys read the minutes.`;
  }

  /** For those who would rather read: the minutes in which something ended, newest first. */
  fillTable() {
    if (!find('details.as-table').open) return;
    const rows = [];
    for (let minute = this.geometry.size - 1; minute >= 0; minute -= 1) {
      const cells = SIDES.map((side) => this.minutes[side]);
      if (!cells.some((of) => of.succeeded[minute] || of.failed[minute])) continue;
      const values = cells.flatMap((of) => [
        count(of.succeeded[minute]), count(of.failed[minute]), lasting(of.took[minute]), lasting(of.waited[minute]),
      ]);
      rows.push(el('tr', {}, el('th', { scope: 'row' }, clock((this.minutes.first + minute) * 60)), values.map((v) => el('td', {}, v))));
    }
    if (!rows.length) return this.table.replaceChildren('Nothing has ended in this hour.');
    const heads = ['Minute', ...SIDES.flatMap((side) => ['made', 'failed', 'work', 'wait'].map((name) => `${side} ${name}`))];
    this.table.replaceChildren(
      el('table', {}, el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col' }, head)))), el('tbody', {}, rows)),
    );
  }
}

const NOTHING = {
  succeeded: 'No order has ended in the last hour.',
  failed: 'Nothing has failed in the last hour.',
  took: 'Nothing was made in the last hour.',
  waited: 'Nothing was begun in the last hour.',
};

/** A round number that is not below `least`: the step from one line of the scale to the next. */
function nice(least, timed) {
  if (!least) return 1;
  if (!timed && least <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
}
