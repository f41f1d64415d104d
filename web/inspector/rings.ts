// The rings: one row for each live queue, a cell for each descriptor.
import type { DeviceView, QueueView, RingView } from "../../host/inspect/rings.ts";
import { colour, element, panel } from "./dom.ts";

const CELL = 10;
const COLUMNS = 32;
const OWNERS = { d: "driver's", a: "available", h: "held by the device", u: "lately used" };

type Letter = keyof typeof OWNERS;

export class Rings {
  readonly element: HTMLElement;
  readonly #list = element("div");
  readonly #unused = element("div");
  readonly #rows = new Map<string, QueueRow>();

  constructor() {
    const legend = Object.entries(OWNERS).map(([letter, text]) =>
      element("li", { class: letter }, text),
    );
    this.element = panel(
      "rings",
      "Rings",
      true,
      element("ul", { class: "legend" }, ...legend),
      this.#list,
      element("details", {}, element("summary", {}, "queues without traffic"), this.#unused),
    );
  }

  show(devices: readonly DeviceView[]): void {
    const seen = new Set<string>();
    for (const device of devices) {
      for (const queue of device.queues) {
        if (queue.ring === null) continue;
        const key = `${device.name} ${queue.name}`;
        seen.add(key);
        let row = this.#rows.get(key);
        if (row === undefined) {
          row = new QueueRow(key);
          this.#rows.set(key, row);
        }
        row.show(queue, queue.ring);
        const place =
          queue.ring.takenIdx === 0 && queue.ring.usedIdx === 0 ? this.#unused : this.#list;
        if (row.element.parentElement !== place) place.append(row.element);
      }
    }
    for (const [key, row] of this.#rows) {
      if (seen.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
  }
}

class QueueRow {
  readonly element: HTMLElement;
  readonly #name: string;
  readonly #canvas = element("canvas", { role: "img", width: `${CELL * COLUMNS}` });
  readonly #facts = element("div", { class: "facts" });
  readonly #chains = element("div", { class: "mono" });

  constructor(name: string) {
    this.#name = name;
    const details = element("details", {}, element("summary", {}, "chains"), this.#chains);
    this.element = element(
      "article",
      { class: "queue", "aria-label": name },
      element("div", {}, element("h3", {}, name), this.#canvas),
      element("div", {}, this.#facts, details),
    );
  }

  show(queue: QueueView, ring: RingView): void {
    const of = (index: number) => `${index} (${index % queue.size})`;
    const facts: [string, string][] = [
      ["size", `${queue.size}`],
      ["avail.idx", of(ring.availIdx)],
      ["taken", of(ring.takenIdx)],
      ["used.idx", of(ring.usedIdx)],
      ["held", `${ring.heldCount}`],
      ["avail_event", ring.availEvent === null ? "-" : of(ring.availEvent)],
      ["used_event", ring.usedEvent === null ? "-" : of(ring.usedEvent)],
      ["kicks", `${queue.kicks}`],
    ];
    const rows = facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    );
    this.#facts.replaceChildren(element("dl", {}, ...rows));
    if (ring.isBroken)
      this.#facts.append(element("p", {}, "broken: the device takes nothing more"));
    this.#draw(ring);
    const counts = Object.entries(OWNERS).map(([letter, text]) => {
      const cells = ring.cells.split(letter).length - 1;
      return `${cells * ring.descriptorsPerCell} ${text}`;
    });
    this.#canvas.setAttribute("aria-label", `${this.#name}, descriptors: ${counts.join(", ")}`);
    const used = ring.usedLately.map(({ head, bytes }) => `${head}:${bytes}`);
    const lines = [
      `available, oldest first: ${ring.available.join(" ") || "none"}`,
      `used, newest last: ${used.join(" ")}`,
      ...ring.held.map(({ head, isIndirect, buffers, what }) => {
        const parts = buffers.map(
          ({ address, length, isWritten }) =>
            `${isWritten ? "w" : "r"}${length}@${address.toString(16)}`,
        );
        return `held ${head}${isIndirect ? ", indirect" : ""}: ${parts.join(" ")} ${what}`;
      }),
    ];
    this.#chains.replaceChildren(...lines.map((line) => element("p", {}, line)));
  }

  #draw({ cells }: RingView): void {
    const rows = Math.ceil(cells.length / COLUMNS);
    if (this.#canvas.height !== rows * CELL) this.#canvas.height = rows * CELL;
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const paint = {
      d: colour("driver"),
      a: colour("available"),
      h: colour("held"),
      u: colour("used"),
    };
    for (let i = 0; i < cells.length; i++) {
      const [x, y] = [(i % COLUMNS) * CELL, Math.floor(i / COLUMNS) * CELL];
      const letter = cells[i] as Letter;
      context.fillStyle = context.strokeStyle = paint[letter];
      if (letter === "h") {
        context.lineWidth = 2;
        context.strokeRect(x + 2, y + 2, CELL - 4, CELL - 4);
      } else if (letter === "u") {
        context.lineWidth = 1;
        for (const shift of [0, 3, 6]) {
          context.beginPath();
          context.moveTo(x + 1 + shift, y + CELL - 1);
          context.lineTo(x + CELL - 1, y + 1 + shift);
          context.stroke();
        }
      } else {
        context.fillRect(x + 1, y + 1, CELL - 2, CELL - 2);
      }
    }
  }
}
