// The frames of a network device, each as an event on its track of the machine's trace.
import type { DeviceTrace } from "../../device.ts";
import { NAMED_BYTES, nameOf } from "./describe.ts";
import { copyFront, type Frame } from "./frame.ts";
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

  #tell(frame: Frame, way: string): void {
    if (!this.#trace.isOn) return;
    const front = new DataView(this.#front.buffer, 0, copyFront(frame, this.#front));
    const { bytes } = frame;
    this.#trace.instant(`${nameOf(front)} ${way}`, this.#trace.now(), { bytes });
  }
}
