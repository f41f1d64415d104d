// An observer of a card's frames. It sees them in the order in which they are moved.
import type { Frame } from "./frame.ts";

/** Sees every frame of a device; option `capture` of one. */
export interface FrameTap {
  /** Of the guest, before its network has it. */
  fromGuest(frame: Frame): void;
  /** Into the guest's ring. */
  toGuest(frame: Frame): void;
}
