// The timeline: events of the guest and of the host, in two groups of lanes. An idle machine is
// nearly all gap, so gaps are cut. A cursor moves over the events, which are of the past.
import type { TraceEvent } from "../../host/trace/event.ts";
import { colour, element, panel, Table } from "./dom.ts";
import { hasEvents, placeOf } from "./place.ts";
import {
  argumentsText,
  isFileRequest,
  isWait,
  MACHINE,
  type Recording,
  THREADS,
  VCPU,
} from "./record.ts";

const SHOWN = 160;
const ROWS = 40;
const GAP_US = 200;
const LABEL = 92;
const LANE = 24;

const LANES = ["entries", "threads", "packets", "kicks", "files"] as const;

function laneOf(event: TraceEvent): number {
  if (event.pid === THREADS) return isWait(event) ? -1 : 1;
  if (event.tid === VCPU) return 0;
  if (isFileRequest(event)) return 4;
  return event.name === "kick" || event.name === "interrupt" ? 3 : 2;
}

export class Timeline {
  readonly element: HTMLElement;
  readonly #canvas = element("canvas", { id: "timeline", role: "img" });
  readonly #range = element("input", {
    type: "range",
    min: "0",
    "aria-label": "Event of the record",
    input: () => this.#moveTo(Number(this.#range.value)),
  });
  readonly #follow = element("button", { type: "button", click: () => this.#latest() }, "Latest");
  readonly #filter = element("input", {
    type: "search",
    placeholder: "filter",
    "aria-label": "Show only events with this text",
    input: () => this.showStop(null),
  });
  readonly #note = element("p", { class: "soft" });
  readonly #table = new Table("Events", ["at", "after", "track", "event", "took", "details"]);
  readonly #recording: Recording;
  #cursor: number | null = null; // null: the latest
  #stop: number | null = null; // of the tour, whose events are shown; null: all

  constructor(recording: Recording) {
    this.#recording = recording;
    this.element = panel(
      "record",
      "Timeline",
      true,
      element("p", { class: "break" }, this.#range, this.#follow, this.#filter),
      this.#canvas,
      this.#note,
      this.#table.element,
    );
  }

  /** Only the events of a stop of the tour are shown, and all if it has none; null: all. */
  showStop(stop: number | null): void {
    this.#stop = stop;
    if (stop !== null) this.#filter.value = "";
    this.#cursor = null;
    this.draw();
  }

  /** One event back, or on. */
  move(by: number): void {
    const last = this.#shown().length - 1;
    this.#moveTo(Math.max(0, Math.min(last, (this.#cursor ?? last) + by)));
  }

  #moveTo(cursor: number): void {
    this.#cursor = cursor >= this.#shown().length - 1 ? null : cursor;
    this.draw();
  }

  #latest(): void {
    this.#cursor = null;
    this.draw();
  }

  #shown(): readonly TraceEvent[] {
    const text = this.#filter.value.trim().toLowerCase();
    const { events } = this.#recording;
    if (this.#stop !== null && hasEvents(this.#stop)) {
      return events.filter(
        (one) => placeOf(one, this.#recording.trackOf(one))?.stop === this.#stop,
      );
    }
    if (text === "") return events;
    return events.filter((one) =>
      `${one.name} ${this.#recording.trackOf(one)} ${argumentsText(one)}`
        .toLowerCase()
        .includes(text),
    );
  }

  draw(): void {
    const events = this.#shown();
    const last = events.length - 1;
    const cursor = Math.min(this.#cursor ?? last, last);
    this.#range.max = `${Math.max(0, last)}`;
    if (document.activeElement !== this.#range) this.#range.value = `${cursor}`;
    const lost = this.#recording.lost > 0 ? `, ${this.#recording.lost} were lost` : "";
    const where = this.#cursor === null ? "the latest" : `event ${cursor + 1}, of the past`;
    this.#note.textContent =
      events.length === 0
        ? "Nothing has happened yet."
        : `${events.length} events recorded${lost}; ${where}.`;
    if (this.#stop !== null && hasEvents(this.#stop)) {
      this.#note.textContent += ` Only those of stop ${this.#stop} of the tour are shown.`;
    }
    const from = Math.max(0, cursor - SHOWN + 1);
    this.#paint(events.slice(from, cursor + 1));
    this.#list(events, cursor);
  }

  #list(events: readonly TraceEvent[], cursor: number): void {
    const first = Math.max(0, cursor - ROWS + 1);
    const rows = events.slice(first, cursor + 1).map((event, i) => {
      const before = events[first + i - 1];
      return [
        `${event.ts.toFixed(1)} us`,
        before === undefined ? "" : `+${(event.ts - before.ts).toFixed(1)}`,
        this.#recording.trackOf(event),
        event.name,
        event.dur === undefined ? "" : `${event.dur.toFixed(1)} us`,
        argumentsText(event),
      ];
    });
    this.#table.show(rows.reverse());
  }

  #paint(events: readonly TraceEvent[]): void {
    const canvas = this.#canvas;
    const scale = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.setAttribute("aria-label", `The last ${events.length} events, in ${LANES.length} lanes`);
    const context = canvas.getContext("2d");
    if (context === null || events.length === 0) return;
    context.scale(scale, scale);
    context.font = "12px system-ui, sans-serif";
    const top = 18;
    const places = compress(events);
    const total = places.at(-1)?.end ?? 1;
    const x = (us: number) => LABEL + (us / Math.max(total, 1)) * (width - LABEL - 8);
    context.fillStyle = colour("soft");
    context.fillText("guest", 4, top - 4);
    context.fillText("host", 4, top + 2 * LANE + 26);
    const y = (lane: number) => top + lane * LANE + (lane >= 2 ? 32 : 0);
    LANES.forEach((name, lane) => {
      context.fillStyle = colour("text");
      context.fillText(name, 12, y(lane) + 15);
      context.fillStyle = colour("line");
      context.fillRect(LABEL, y(lane) + LANE - 2, width - LABEL - 8, 1);
    });
    const paint = [
      colour("soft"),
      colour("available"),
      colour("held"),
      colour("soft"),
      colour("used"),
    ];
    events.forEach((event, i) => {
      const lane = laneOf(event);
      const place = places[i];
      if (lane < 0 || place === undefined) return;
      context.fillStyle = paint[lane] as string;
      const left = x(place.start);
      const wide = Math.max(2, x(place.end) - left);
      context.fillRect(left, y(lane) + 3, wide, LANE - 8);
      if (wide < 44) return;
      context.fillStyle = colour("ground");
      context.fillText(event.name.split("/").at(-1) ?? "", left + 3, y(lane) + 15, wide - 6);
    });
  }
}

/** Where events begin and end on a scale of microseconds on which no gap is longer than GAP_US. */
function compress(events: readonly TraceEvent[]): { start: number; end: number }[] {
  const places: { start: number; end: number }[] = [];
  let cut = 0; // microseconds that were left out so far
  let until = events[0]?.ts ?? 0;
  const first = until;
  for (const { ts, dur = 0 } of events) {
    if (ts - until > GAP_US) cut += ts - until - GAP_US;
    const start = ts - first - cut;
    places.push({ start, end: start + dur });
    until = Math.max(until, ts + dur);
  }
  const end = Math.max(...places.map((one) => one.end));
  const last = places.at(-1);
  if (last !== undefined)
    places[places.length - 1] = { start: last.start, end: Math.max(last.end, end) };
  return places;
}

/** Requests to file systems: the last ones, and how many of each operation. */
export class Requests {
  readonly element: HTMLElement;
  readonly #last = new Table("Requests to virtio-fs", [
    "operation",
    "node",
    "took",
    "reply",
    "error",
  ]);
  readonly #counts = new Table("By operation", ["operation", "count", "mean"]);
  readonly #recording: Recording;

  constructor(recording: Recording) {
    this.#recording = recording;
    this.element = panel(
      "files",
      "File requests",
      false,
      this.#last.element,
      element("h3", {}, "By operation"),
      this.#counts.element,
    );
  }

  draw(): void {
    const requests = this.#recording.events.filter(
      (one) => one.pid === MACHINE && isFileRequest(one),
    );
    const rows = requests
      .slice(-50)
      .reverse()
      .map(({ name, dur = 0, args = {} }) => [
        name,
        `${args.nodeid}`,
        `${dur.toFixed(1)} us`,
        `${args.reply} B`,
        args.error === 0 ? "" : `${args.error}`,
      ]);
    this.#last.show(rows);
    const counts = new Map<string, { count: number; us: number }>();
    for (const { name, dur = 0 } of requests) {
      const so = counts.get(name) ?? { count: 0, us: 0 };
      counts.set(name, { count: so.count + 1, us: so.us + dur });
    }
    const sums = [...counts].sort(([, a], [, b]) => b.count - a.count);
    this.#counts.show(
      sums.map(([name, { count, us }]) => [name, `${count}`, `${(us / count).toFixed(1)} us`]),
    );
  }
}
