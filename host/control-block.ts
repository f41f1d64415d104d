// The host's side of the control block. It may be written whenever the guest does not run, and also
// from within a device: the guest reads it anew each time.
import { CONTROL_BLOCK_ADDRESS, ControlBlock } from "../abi/control.ts";
import { type GuestMemory, u32 } from "./memory.ts";

const DRAINING = CONTROL_BLOCK_ADDRESS + ControlBlock.draining;
const SETTINGS = CONTROL_BLOCK_ADDRESS + ControlBlock.settingsGeneration;

/** Tells the guest about its service, while it runs. */
export class HostControlBlock {
  readonly #memory: GuestMemory;
  #draining = false;
  #settings = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /**
   * What isDraining() says in the guest. A server of the guest goes on serving, and ends each
   * connection with its next answer. False at first, also in a machine that was restored.
   */
  get draining(): boolean {
    return this.#draining;
  }

  /** The guest finds out when it looks. */
  set draining(draining: boolean) {
    this.#draining = draining;
    this.#write();
  }

  /**
   * Settings that the guest has read from its files are others now: settingsGeneration() differs.
   * The guest is not entered; it finds out when it looks.
   */
  settingsChanged(): void {
    this.#settings = u32(this.#settings + 1);
    this.#write();
  }

  /**
   * For the machine: the block was a snapshot's. A new machine has settings that the saved guest
   * has not read, as a number of its own says, `generation`; one that went back (null) has those it
   * had.
   */
  restored(generation: number | null): void {
    if (generation !== null) this.#settings = u32(generation);
    this.#write();
  }

  #write(): void {
    this.#memory.view.setUint32(DRAINING, this.#draining ? 1 : 0, true);
    this.#memory.view.setUint32(SETTINGS, this.#settings, true);
  }
}
