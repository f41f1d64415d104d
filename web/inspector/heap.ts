// The heap: how much of it is in use, and on demand a map of its blocks.
import type { HeapMap } from "../../host/inspect/heap.ts";
import type { MachineView } from "../../host/inspect/inspector.ts";
import { bytesText, colour, element, panel } from "./dom.ts";
import type { MachineSource } from "./source.ts";

const CELL = 8;
const COLUMNS = 64;
const ROWS = 12;

export class Heap {
  readonly element: HTMLElement;
  readonly #source: MachineSource;
  readonly #text = element("p", { class: "mono" });
  readonly #note = element("p", { class: "soft", role: "status" });
  readonly #canvas = element("canvas", {
    ...{ role: "img", hidden: "", width: `${CELL * COLUMNS}`, height: `${CELL * ROWS}` },
  });

  constructor(source: MachineSource) {
    this.#source = source;
    const button = element(
      "button",
      { type: "button", click: () => this.#map() },
      "Map its blocks",
    );
    this.element = panel("heap", "Heap", false, this.#text, button, this.#note, this.#canvas);
  }

  show({ heap }: MachineView): void {
    if (heap === null) return;
    const parts = [
      `${bytesText(heap.inUse)} in use`,
      `${bytesText(heap.peak)} at most so far`,
      `${bytesText(heap.bytes)} in all`,
    ];
    this.#text.textContent = parts.join(", ");
  }

  #map(): void {
    this.#source.heapMap().then(
      (map) => this.#draw(map ?? { blocks: [], isCut: true }),
      (error: Error) => {
        this.#note.textContent = error.message;
      },
    );
  }

  #draw({ blocks, isCut }: HeapMap): void {
    const used = blocks.filter((bytes) => bytes > 0).length;
    const free = blocks.filter((bytes) => bytes < 0).map((bytes) => -bytes);
    const most = bytesText(Math.max(0, ...free));
    const cut = isCut ? "; there are more" : "";
    const unused = `${free.length} free, the largest ${most}${cut}`;
    this.#note.textContent = `${used} blocks in use, ${unused}`;
    this.#canvas.setAttribute("aria-label", `The heap, by address: ${this.#note.textContent}`);
    this.#canvas.hidden = blocks.length === 0;
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const [paint, ground] = [colour("available"), colour("driver")];
    sharesInUse(blocks, COLUMNS * ROWS).forEach((share, i) => {
      const [x, y] = [(i % COLUMNS) * CELL, Math.floor(i / COLUMNS) * CELL];
      context.fillStyle = ground;
      context.fillRect(x, y, CELL - 1, CELL - 1);
      context.fillStyle = paint;
      const height = Math.ceil(share * (CELL - 1));
      context.fillRect(x, y + CELL - 1 - height, CELL - 1, height);
    });
  }
}

/** Of each of `cells` equal parts of the heap, how much of it is in use. */
function sharesInUse(blocks: readonly number[], cells: number): number[] {
  const bytes = blocks.reduce((sum, one) => sum + Math.abs(one), 0);
  const perCell = Math.max(1, bytes / cells);
  const shares = new Array<number>(cells).fill(0);
  let at = 0;
  for (const block of blocks) {
    const end = at + Math.abs(block);
    if (block > 0) {
      for (let cell = Math.floor(at / perCell); cell < cells && cell * perCell < end; cell++) {
        const inside = Math.min(end, (cell + 1) * perCell) - Math.max(at, cell * perCell);
        shares[cell] = (shares[cell] as number) + inside / perCell;
      }
    }
    at = end;
  }
  return shares;
}
