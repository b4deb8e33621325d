// Moving charts on uPlot. Each one says its figures as text as well: the lines are for those who see them.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { el } from "./dom.js";

const DASHES = [[], [6, 4]];
const HEIGHT = 150;

/**
 * A chart with its heading. `series`: `[{key, label}]`; `format(value)` for the axis and the figures; `incrs`: the steps
 * that the axis may take, where round ones in decimal will not do.
 * `show(columns, fromSeconds, toSeconds)` draws `columns` (`{at: […], [key]: […]}`).
 */
export function chart({ title, note, series, format, incrs }) {
  const box = el("div", { class: "plot", role: "img" });
  const figures = series.map(() => el("dd", {}, "–"));
  const legend = el("dl", { class: "legend" }, series.map((each, index) => el("div", { class: `line line-${index}` },
    el("dt", {}, each.label), figures[index])));
  const root = el("figure", { class: "card chart" },
    el("figcaption", {}, el("h3", {}, title), note && el("p", { class: "soft" }, note)), legend, box);
  let plot = null;
  let last = null;

  function make() {
    plot?.destroy();
    plot = new uPlot(options(box, series, format, incrs, (index) => label(index)), [[], ...series.map(() => [])], box);
    if (last) draw();
  }
  function draw() {
    const { columns, from, to } = last;
    plot.setData([columns.at, ...series.map((each) => columns[each.key] ?? [])], false);
    plot.setScale("x", { min: from, max: to });
  }
  function label(index) {
    const { columns } = last ?? {};
    if (!columns) return;
    series.forEach((each, at) => {
      const values = columns[each.key] ?? [];
      const value = index === null || index === undefined ? values.at(-1) : values[index];
      figures[at].textContent = format(value);
    });
  }
  const resized = new ResizeObserver(() => {
    if (!box.isConnected || !box.clientWidth) return;
    if (plot) plot.setSize({ width: box.clientWidth, height: HEIGHT });
    else make();
  });
  resized.observe(box);
  return {
    root,
    show(columns, from, to) {
      last = { columns, from, to };
      if (plot) draw();
      label(plot?.cursor.idx);
      box.setAttribute("aria-label", spoken(title, series, columns, format));
    },
    repaint: () => plot && make(),
    destroy() {
      resized.disconnect();
      plot?.destroy();
      plot = null;
    },
  };
}

function spoken(title, series, columns, format) {
  const parts = series.map((each) => {
    const values = (columns[each.key] ?? []).filter((value) => value !== null);
    if (!values.length) return `${each.label}: nothing measured`;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return `${each.label}: from ${format(low)} to ${format(high)}, last ${format(values.at(-1))}`;
  });
  return `${title}. ${parts.join("; ")}`;
}

function options(box, series, format, incrs, hovered) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [8, 28, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: "buzz" }, points: { size: 7 } },
    hooks: { setCursor: [(plot) => hovered(plot.cursor.idx)] },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, ceiling(high)] } },
    axes: [
      { ...axis, size: 24, gap: 6, space: 70, values: (_, splits) => splits.map(clock) },
      { ...axis, size: 68, space: 36, incrs, values: (_, splits) => splits.map(format) },
    ],
    series: [{}, ...series.map((each, index) => ({
      label: each.label,
      stroke: colour(`--line-${index}`),
      dash: DASHES[index],
      width: 2,
      fill: series.length === 1 ? colour("--line-fill") : undefined,
      // A figure without a neighbour has no line: it is shown as a point.
      points: { show: true, size: 5, filter: alone },
    }))],
  };
}

/** Return the places of the figures that no line leads to or from. */
export function alone(plot, series) {
  const values = plot.data[series];
  const measured = (at) => values[at] !== null && values[at] !== undefined;
  return [...values.keys()].filter((at) => measured(at) && !measured(at - 1) && !measured(at + 1));
}

/** The top of the scale: always above zero, so that a flat line at zero is seen to lie at the bottom. */
function ceiling(high) {
  return high > 0 ? high * 1.1 : 1;
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
}
