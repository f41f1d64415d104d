// Line plots as SVG, by hand: one panel for each figure, sizes on a logarithmic axis or time on a
// linear one, readable on light and dark pages.

/**
 * @typedef {{ name: string, points: { x: number, y: number, min?: number, max?: number }[] }} Line
 */
/**
 * `x` and `y` name the axes; `labels` stand for the numbers 0, 1, 2 ... of an axis of cases, which
 * no line connects; `time`: x goes on evenly, in many points.
 * @typedef {{ title: string, x: string, y: string, lines: Line[], labels?: readonly string[],
 *   time?: boolean, reference?: number }} Panel
 */

const WIDTH = 720;
const HEIGHT = 340;
const LEFT = 70;
const RIGHT = 190;
const TOP = 44;
const BOTTOM = 68;
const COLOURS = ["#d1495b", "#2e86ab", "#3b9c5f", "#b07d2b", "#7a5195", "#5c6770"];

/** @param {string} text */
const xml = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** @param {number} value */
function short(value) {
  if (value >= 1024 && Number.isInteger(value / 1024)) {
    return value >= 1048576 ? `${value / 1048576}M` : `${value / 1024}K`;
  }
  return value >= 10000 ? `${Math.round(value / 1000)}k` : String(Number(value.toPrecision(3)));
}

/** Round numbers from `least` or below to `most` or above. */
function ticksOf(/** @type {number} */ least, /** @type {number} */ most) {
  const rough = (most - least) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
  const first = Math.floor(least / step);
  return Array.from({ length: Math.ceil(most / step) - first + 1 }, (_, i) => (first + i) * step);
}

/**
 * Of the horizontal axis: in the middle of a case's share of it, or on a scale, a logarithmic one
 * but for time. @param {readonly number[]} xs @param {boolean} ofCases @param {boolean} ofTime
 */
function placesOf(xs, ofCases, ofTime) {
  const width = WIDTH - LEFT - RIGHT;
  if (ofTime) return (/** @type {number} */ x) => LEFT + (x / (xs.at(-1) || 1)) * width;
  if (ofCases) return (/** @type {number} */ x) => LEFT + ((x + 0.5) / xs.length) * width;
  const [first = 0, last = 1] = [xs[0], xs.at(-1)].map((x) => Math.log2(x ?? 1));
  return (/** @type {number} */ x) => LEFT + ((Math.log2(x) - first) / (last - first || 1)) * width;
}

/** @param {Panel} panel @param {number} offset pixels from the top of the picture */
function drawPanel({ title, x, y, lines, labels, time = false, reference }, offset) {
  const points = lines.flatMap((line) => line.points);
  const xs = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b);
  const most = Math.max(...points.map((point) => point.max ?? point.y), reference ?? 0);
  const least = Math.min(...points.map((point) => point.min ?? point.y), 0);
  const ticks = ticksOf(least, most);
  const [bottom = 0, top = 1] = [ticks[0], ticks.at(-1)];
  const at = placesOf(xs, labels !== undefined, time);
  const up = (/** @type {number} */ value) =>
    offset + HEIGHT - BOTTOM - ((value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  const parts = [`<text class="title" x="${LEFT}" y="${offset + 24}">${xml(title)}</text>`];
  for (const tick of ticks) {
    const level = up(tick).toFixed(1);
    parts.push(
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${level}" y2="${level}"/>`,
      `<text x="${LEFT - 8}" y="${level}" text-anchor="end" dy="4">${short(tick)}</text>`,
    );
  }
  for (const value of time ? ticksOf(0, xs.at(-1) ?? 1).slice(0, -1) : xs) {
    const px = at(value).toFixed(1);
    const words = labels?.[value]?.split(/ (?!kB)|(?<=\w-)/) ?? [short(value)];
    for (const [i, word] of words.entries()) {
      const level = offset + HEIGHT - BOTTOM + 16 + i * 13;
      parts.push(`<text x="${px}" y="${level}" text-anchor="middle">${xml(word)}</text>`);
    }
  }
  const centre = `x="${(LEFT + WIDTH - RIGHT) / 2}" y="${offset + HEIGHT - 8}"`;
  const middle = offset + (HEIGHT - BOTTOM + TOP) / 2;
  const upright = `x="16" y="${middle}" transform="rotate(-90 16 ${middle})"`;
  parts.push(
    `<text ${centre} text-anchor="middle">${xml(x)}</text>`,
    `<text ${upright} text-anchor="middle">${xml(y)}</text>`,
  );
  if (reference !== undefined) {
    const level = up(reference).toFixed(1);
    parts.push(
      `<line class="reference" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${level}" y2="${level}"/>`,
    );
  }
  for (const [i, line] of lines.entries()) {
    const colour = COLOURS[i % COLOURS.length];
    if (labels === undefined) {
      const path = line.points.map((one) => `${at(one.x).toFixed(1)},${up(one.y).toFixed(1)}`);
      parts.push(`<polyline points="${path.join(" ")}" stroke="${colour}"/>`);
    }
    for (const point of time ? [] : line.points) {
      const beside = labels === undefined ? 0 : (i - (lines.length - 1) / 2) * 7;
      const px = (at(point.x) + beside).toFixed(1);
      const { min = point.y, max = point.y } = point;
      const span = `y1="${up(min).toFixed(1)}" y2="${up(max).toFixed(1)}"`;
      parts.push(
        `<line x1="${px}" x2="${px}" ${span} stroke="${colour}"/>`,
        `<circle cx="${px}" cy="${up(point.y).toFixed(1)}" r="3" fill="${colour}"/>`,
      );
    }
    const level = offset + TOP + 12 + i * 20;
    parts.push(
      `<rect x="${WIDTH - RIGHT + 16}" y="${level - 9}" width="12" height="12" fill="${colour}"/>`,
      `<text x="${WIDTH - RIGHT + 34}" y="${level + 1}">${xml(line.name)}</text>`,
    );
  }
  return parts.join("\n");
}

/** One picture of all panels, one below the other. @param {readonly Panel[]} panels */
export function drawSvg(panels) {
  const height = HEIGHT * panels.length;
  const body = panels.map((panel, i) => drawPanel(panel, i * HEIGHT)).join("\n");
  const size = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`;
  const font = 'font-family="system-ui, sans-serif" font-size="12"';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font}>
<title>${xml(panels.map((panel) => panel.title).join("; "))}</title>
<style>
  svg { background: #fff } text { fill: #24292f } .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #d8dee4 } .reference { stroke: #24292f; stroke-dasharray: 4 4 }
  polyline { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d }
    .reference { stroke: #e6edf3 }
  }
</style>
${body}
</svg>
`;
}
