// One request on its way through the machine: the events of its flow in their order, and where in
// the sources each of them happens.
import type { TraceEvent } from "../../host/trace/event.ts";
import { element, panel, Table } from "./dom.ts";
import { type Place, placeOf } from "./place.ts";
import { type Recording, THREADS } from "./record.ts";

/** Flows to choose from, the latest first. */
const FLOWS_MAX = 50;

/** The events of one flow, in the order of their times. */
export interface Flow {
  readonly id: string;
  readonly events: readonly TraceEvent[];
}

/** The flows of a recording, the latest first. One whose beginning was lost is none. */
export function flowsOf(events: readonly TraceEvent[]): Flow[] {
  const flows = new Map<string, TraceEvent[]>();
  for (const event of events) {
    const id = event.bind_id;
    if (id === undefined) continue;
    if (event.flow_in === false) flows.set(id, [event]);
    else flows.get(id)?.push(event);
  }
  return [...flows].map(([id, steps]) => ({ id, events: steps })).reverse();
}

export class OneRequest {
  readonly element: HTMLElement;
  readonly #choice = element("select", {
    "aria-label": "Request",
    change: () => {
      this.#chosen = this.#choice.selectedIndex === 0 ? null : this.#choice.value;
      this.draw();
    },
  });
  readonly #note = element("p", { class: "soft" });
  readonly #table = new Table("Stops of one request", [
    ...["stop", "after", "took", "event", "track", "source"],
  ]);
  readonly #recording: Recording;
  readonly #sources: string | null;
  #chosen: string | null = null; // null: the latest
  #options = ""; // as they are shown

  /** `sources`: the address of a page for each file; null: files are named only. */
  constructor(recording: Recording, sources: string | null) {
    this.#recording = recording;
    this.#sources = sources;
    this.element = panel(
      "request",
      "One request",
      true,
      element("p", { class: "break" }, this.#choice),
      this.#note,
      this.#table.element,
    );
  }

  draw(): void {
    const { events } = this.#recording;
    const flows = flowsOf(events);
    const titles = new Map(events.flatMap(({ ph, id, name }) => (ph === "b" ? [[id, name]] : [])));
    this.#offer(flows.slice(0, FLOWS_MAX), titles);
    const flow = flows.find(({ id }) => id === this.#chosen) ?? flows[0];
    if (flow === undefined) {
      this.#note.textContent = "No request was recorded yet.";
      this.#table.show([]);
      return;
    }
    const [first, last] = [flow.events[0], flow.events.at(-1)];
    const end = (last?.ts ?? 0) + (last?.dur ?? 0);
    const took = `${(end - (first?.ts ?? 0)).toFixed(1)} us`;
    const isGone = this.#chosen !== null && flow.id !== this.#chosen;
    const count = `${flow.events.length} events in ${took}`;
    this.#note.textContent = isGone
      ? `The one that was chosen is no longer recorded. ${count}`
      : count;
    const run = flow.events.find(({ pid }) => pid === THREADS);
    const rows = flow.events.map((event, i) => {
      const isLater = event.pid === THREADS && event !== run; // the thread goes on after a wait
      return this.#row(event, flow.events[i - 1], !isLater);
    });
    this.#table.show(rows);
  }

  #row(event: TraceEvent, before: TraceEvent | undefined, isStop: boolean): (Node | string)[] {
    const track = this.#recording.trackOf(event);
    const place = isStop ? placeOf(event, track) : undefined;
    return [
      place === undefined ? "" : `${place.stop}. ${place.title}`,
      before === undefined ? "" : `+${(event.ts - before.ts).toFixed(1)} us`,
      event.dur === undefined ? "" : `${event.dur.toFixed(1)} us`,
      event.name.split("/").at(-1) ?? "",
      event.pid === THREADS ? `thread ${event.tid}` : track,
      place === undefined ? "" : this.#source(place),
    ];
  }

  #source({ file, line }: Place): Node {
    const text = `${file}:${line}`;
    if (this.#sources === null) return element("code", {}, text);
    return element("a", { href: `${this.#sources}${file}#L${line}` }, text);
  }

  /** Leaves the list alone while it is the same: somebody may have it open. */
  #offer(flows: readonly Flow[], titles: ReadonlyMap<string | undefined, string>): void {
    const names = flows.map(({ id }) => `${titles.get(id) ?? "not over yet"} (${id})`);
    const options = names.join("\n");
    if (options === this.#options) return;
    this.#options = options;
    const latest = element("option", { value: "" }, "the latest");
    const made = flows.map(({ id }, i) => element("option", { value: id }, names[i] as string));
    this.#choice.replaceChildren(latest, ...made);
    const place = flows.findIndex(({ id }) => id === this.#chosen);
    this.#choice.selectedIndex = place + 1;
  }
}
