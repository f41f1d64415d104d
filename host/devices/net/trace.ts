// The frames of a network device, each as an event on its track of the machine's trace.
import type { DeviceTrace } from "../../device.ts";
import { NAMED_BYTES, nameOf } from "./describe.ts";
import type { Frame } from "./frame.ts";
import type { FrameTap } from "./tap.ts";

export class FrameTrace implements FrameTap {
  readonly #trace: DeviceTrace;
  readonly #next: FrameTap | null;
  readonly #front = new Uint8Array(NAMED_BYTES);

  /** Passes everything on to `next`. */
  constructor(trace: DeviceTrace, next: FrameTap | null) {
    this.#trace = trace;
    this.#next = next;
  }

  fromGuest(frame: Frame): void {
    this.#next?.fromGuest(frame);
    this.#tell(frame, "from guest");
  }

  toGuest(frame: Frame): void {
    this.#next?.toGuest(frame);
    this.#tell(frame, "to guest");
  }

  #tell({ parts, bytes }: Frame, way: string): void {
    if (!this.#trace.isOn) return;
    let at = 0;
    for (const part of parts) {
      const taken = part.subarray(0, NAMED_BYTES - at);
      this.#front.set(taken, at);
      at += taken.length;
    }
    const name = nameOf(new DataView(this.#front.buffer, 0, at));
    this.#trace.instant(`${name} ${way}`, this.#trace.now(), { bytes });
  }
}
