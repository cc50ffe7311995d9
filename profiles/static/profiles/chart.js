// Draws the speed of a test, second by second, as SVG.

import { makeSvg } from "./dom.js";

const HEIGHT = 200;
const LEFT = 36;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;

export function drawChart(svg, { seconds, wpm, durationSeconds }) {
  // Drawn at its real width, so that the labels keep their size on a phone.
  const width = svg.clientWidth || 640;
  const first = { ...seconds[0], atSeconds: 0 };
  const points = seconds.length > 1 ? seconds : [first, seconds[0]];
  const top = roundUp(Math.max(20, ...points.map((point) => Math.max(point.wpm, point.rawWpm))));
  const start = points[0].atSeconds;
  const span = Math.max(points.at(-1).atSeconds - start, 0.001);
  const x = (point) => LEFT + ((point.atSeconds - start) / span) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);

  const grid = [0, top / 2, top].flatMap((value) => [
    makeSvg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
    makeSvg("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)),
  ]);
  const every = Math.ceil(points.length / 8);
  // Whole seconds alone, of more than one: the rest of a second would stand on the one before it.
  const times = points
    .filter((point, index) => index % every === 0 && (point.isWhole || points.length === 2))
    .map((point) => makeSvg("text", {
      class: "tick", x: x(point), y: HEIGHT - 6,
      "text-anchor": point === points[0] ? "start" : x(point) > width - 30 ? "end" : "middle",
    }, `${Math.round(point.atSeconds * 10) / 10} s`));

  const line = (value) => points
    .map((point, index) => `${index ? "L" : "M"}${x(point).toFixed(1)} ${y(value(point)).toFixed(1)}`)
    .join("");
  const net = line((point) => point.wpm);
  const floor = y(0).toFixed(1);
  const area = `${net}L${x(points.at(-1)).toFixed(1)} ${floor}L${x(points[0]).toFixed(1)} ${floor}Z`;
  const errors = seconds
    .filter((point) => point.errors > 0)
    .map((point) => makeSvg("circle", {
      class: "error", cx: x(point), cy: y(point.rawWpm), r: 3 + Math.min(point.errors, 4) * 0.6,
    }));

  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("aria-label",
    `Speed over ${durationSeconds} seconds; the end result is ${Math.round(wpm)} words a minute.`);
  svg.replaceChildren(
    ...grid,
    ...times,
    makeSvg("path", { class: "area", d: area }),
    makeSvg("path", { class: "line raw", d: line((point) => point.rawWpm) }),
    makeSvg("path", { class: "line wpm", d: net }),
    ...errors,
  );
}

function roundUp(value) {
  const step = value > 200 ? 50 : value > 80 ? 40 : 20;
  return Math.ceil(value / step) * step;
}
