// The last hour, minute by minute: Plan A above the line, Plan B below it, on one scale.

import { el, find, setText, svgElement } from './dom.js';
import { formatCount, formatDuration, formatTime } from './formatting.js';

const MARGIN = { top: 16, right: 8, bottom: 20, left: 44 };
const SIDES = ['A', 'B'];
const NAMES = { succeeded: 'made', failed: 'failed', took: 'work p95', waited: 'wait p95' };

export class Chart {
  constructor(container, readout, table) {
    this.container = container;
    this.readout = readout;
    this.table = table;
    this.metric = 'succeeded';
    this.minutes = null;
    this.events = [];
    this.chosen = null;
    new ResizeObserver(() => this.render()).observe(container);
    container.addEventListener('pointermove', (event) => this.selectMinute(this.minuteAt(event)));
    container.addEventListener('pointerleave', () => this.selectMinute(null));
    container.addEventListener('keydown', (event) => this.onKey(event));
    container.addEventListener('blur', () => this.selectMinute(null));
  }

  show(minutes) {
    this.minutes = minutes;
    this.render();
  }

  /** The events of the timeline, `{at, kind}`. Some of them get a flag. */
  setEvents(events) {
    this.events = events;
    this.render();
  }

  selectMetric(metric) {
    this.metric = metric;
    this.render();
  }

  get timed() {
    return this.metric === 'took' || this.metric === 'waited';
  }

  value(side, minute) {
    return this.minutes[side][this.metric][minute] ?? 0;
  }

  formatValue(number) {
    return this.timed ? formatDuration(number) : formatCount(number);
  }

  render() {
    const { width, height } = this.container.getBoundingClientRect();
    if (!this.minutes || !width) return;
    const size = this.minutes.A.succeeded.length;
    const failing = this.metric === 'succeeded' ? 'failed' : null;
    const most = SIDES.map((side) =>
      Math.max(...this.minutes[side][this.metric].map((n, i) => (n ?? 0) + (failing ? this.minutes[side][failing][i] : 0))),
    );
    const empty = Math.max(...most) === 0;
    const tick = niceStep(Math.max(...most) / 3, this.timed);
    const [above, below] = most.map((number) => Math.max(tick, Math.ceil(number / tick) * tick));
    const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    const unit = (box.bottom - box.top) / (above + below);
    const middle = box.top + above * unit;
    const step = (box.right - box.left) / size;
    this.geometry = { box, step, size };

    const svg = svgElement('svg', { viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' });
    if (!empty) this.drawScale(svg, { tick, above, below, unit, middle });
    this.drawTimes(svg, height);
    if (this.chosen !== null) {
      const x = box.left + this.chosen * step;
      svg.append(svgElement('rect', { class: 'cursor', x, y: box.top, width: step, height: box.bottom - box.top }));
    }
    SIDES.forEach((side, lower) => {
      for (let minute = 0; minute < size; minute += 1) {
        const x = box.left + minute * step + step * 0.12;
        let reached = 0;
        const stack = [[this.metric, this.metric === 'failed' ? 'bar-bad' : `bar-${side.toLowerCase()}`]];
        if (failing) stack.push([failing, 'bar-bad']);
        for (const [metric, className] of stack) {
          const number = this.minutes[side][metric][minute] ?? 0;
          if (!number) continue;
          const barHeight = Math.max(1.5, number * unit);
          const y = lower ? middle + reached : middle - reached - barHeight;
          svg.append(svgElement('rect', { class: className, x, y, width: Math.max(1, step * 0.76), height: barHeight, rx: Math.min(1.5, step / 4) }));
          reached += barHeight;
        }
      }
    });
    this.drawMarks(svg);
    svg.append(
      svgElement('text', { class: 'side-a', x: box.left + 4, y: box.top + 9 }, 'Plan A'),
      svgElement('text', { class: 'side-b', x: box.left + 4, y: box.bottom - 3 }, 'Plan B'),
    );
    const children = [svg];
    if (empty) children.push(el('p', { class: 'empty' }, el('b', {}, EMPTY_TEXTS[this.metric]), 'This fills up by itself.'));
    this.container.replaceChildren(...children);
    this.container.setAttribute('aria-label', this.summary());
    this.updateReadout();
    this.fillTable();
  }

  drawScale(svg, { tick, above, below, unit, middle }) {
    const { left, right } = this.geometry.box;
    for (let line = Math.round(-below / tick); line <= Math.round(above / tick); line += 1) {
      const y = middle - line * tick * unit;
      const label = line ? this.formatValue(Math.abs(line) * tick) : '0';
      svg.append(
        svgElement('line', { class: line ? 'grid-line' : 'axis', x1: left, x2: right, y1: y, y2: y }),
        svgElement('text', { x: left - 6, y: y + 4, 'text-anchor': 'end' }, label),
      );
    }
  }

  drawTimes(svg, height) {
    const { box, step, size } = this.geometry;
    const every = box.right - box.left < 420 ? 20 : 10;
    for (let minute = 0; minute < size; minute += 1) {
      if ((this.minutes.first + minute) % every) continue;
      const x = box.left + minute * step + step / 2;
      svg.append(svgElement('text', { x, y: height - 4, 'text-anchor': 'middle' }, formatTime((this.minutes.first + minute) * 60)));
    }
  }

  drawMarks(svg) {
    const { box, step, size } = this.geometry;
    const flags = { mode: '⇄', incident: '▲', 'incident over': '▲' };
    const drawn = new Set();
    for (const { at, kind } of this.events) {
      const minute = Math.floor(at / 60) - this.minutes.first;
      if (!flags[kind] || minute < 0 || minute >= size || drawn.has(minute)) continue;
      drawn.add(minute);
      const x = box.left + (minute + 0.5) * step;
      const className = kind === 'mode' ? 'mark' : 'mark mark-incident';
      svg.append(
        svgElement('line', { class: className, x1: x, x2: x, y1: box.top, y2: box.bottom }),
        svgElement('text', { class: 'flag', x, y: box.top - 4, 'text-anchor': 'middle' }, flags[kind]),
      );
    }
  }

  minuteAt(event) {
    if (!this.geometry) return null;
    const { box, step, size } = this.geometry;
    const x = event.clientX - this.container.getBoundingClientRect().left - box.left;
    return Math.min(size - 1, Math.max(0, Math.floor(x / step)));
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -999, End: 999 };
    if (!(event.key in steps) || !this.geometry) return;
    event.preventDefault();
    const last = this.geometry.size - 1;
    this.selectMinute(Math.min(last, Math.max(0, (this.chosen ?? last + 1) + steps[event.key])));
  }

  selectMinute(minute) {
    if (minute === this.chosen) return;
    this.chosen = minute;
    this.render();
  }

  updateReadout() {
    if (this.chosen === null) return setText(this.readout, 'Point at a minute, or use the arrow keys. A is above the line, B below.');
    const at = this.minutes.first + this.chosen;
    setText(this.readout, `${formatTime(at * 60)} · ${SIDES.map((side) => this.line(side, this.chosen)).join(' · ')}`);
  }

  line(side, minute) {
    const of = this.minutes[side];
    const parts = [`${formatCount(of.succeeded[minute])} made`];
    if (of.failed[minute]) parts.push(`${formatCount(of.failed[minute])} failed`);
    if (of.took[minute] !== null) parts.push(`work ${formatDuration(of.took[minute])}`, `wait ${formatDuration(of.waited[minute])}`);
    return `${side}: ${parts.join(', ')}`;
  }

  summary() {
    const sum = (side, metric) => this.minutes[side][metric].reduce((a, b) => a + (b ?? 0), 0);
    const totals = SIDES.map((side) => `Plan ${side} made ${sum(side, 'succeeded')}, failed ${sum(side, 'failed')}`);
    return `The last 60 minutes, ${NAMES[this.metric]} per minute. ${totals.join('; ')}. Arrow keys read the minutes.`;
  }

  /** The same data as text: the minutes in which orders ended, newest first. */
  fillTable() {
    if (!find('details.as-table').open) return;
    const rows = [];
    for (let minute = this.geometry.size - 1; minute >= 0; minute -= 1) {
      const cells = SIDES.map((side) => this.minutes[side]);
      if (!cells.some((of) => of.succeeded[minute] || of.failed[minute])) continue;
      const values = cells.flatMap((of) => [
        formatCount(of.succeeded[minute]), formatCount(of.failed[minute]), formatDuration(of.took[minute]), formatDuration(of.waited[minute]),
      ]);
      rows.push(el('tr', {}, el('th', { scope: 'row' }, formatTime((this.minutes.first + minute) * 60)), values.map((v) => el('td', {}, v))));
    }
    if (!rows.length) return this.table.replaceChildren('No order has ended in this hour.');
    const heads = ['Minute', ...SIDES.flatMap((side) => ['made', 'failed', 'work', 'wait'].map((name) => `${side} ${name}`))];
    this.table.replaceChildren(
      el('table', {}, el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col' }, head)))), el('tbody', {}, rows)),
    );
  }
}

const EMPTY_TEXTS = {
  succeeded: 'No order has ended in the last hour.',
  failed: 'Nothing has failed in the last hour.',
  took: 'Nothing was made in the last hour.',
  waited: 'Nothing was started in the last hour.',
};

/** A round number of at least `least`: the step between two lines of the scale. */
function niceStep(least, timed) {
  if (!least) return 1;
  if (!timed && least <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
}
