// Which frames the guest wants: its control commands say so (CTRL_RX, virtio 5.1.6.5.1 and 2).
import { MAC_BYTES } from "../../../abi/ethernet.ts";
import type { Fields } from "../../snapshot/fields.ts";
import { BROADCAST, isGroup, readMac } from "./mac.ts";

/** Addresses in each of the two tables; more are an error. */
const ENTRIES_MAX = 64;
const COUNT_BYTES = 4;

export class RxFilter {
  isPromiscuous = false;
  takesAllGroups = false;
  readonly #own: number;
  #table = new Set<number>();

  /** `own`: the card's address. */
  constructor(own: number) {
    this.#own = own;
  }

  /** As after a reset of the device (NW31). */
  clear(): void {
    this.isPromiscuous = this.takesAllGroups = false;
    this.#table = new Set();
  }

  takes(destination: number): boolean {
    if (this.isPromiscuous || destination === this.#own || destination === BROADCAST) return true;
    return (this.takesAllGroups && isGroup(destination)) || this.#table.has(destination);
  }

  /** Unicast addresses, then those of groups. False: these are no tables, and nothing changes. */
  setTables(data: DataView): boolean {
    const table = new Set<number>();
    let at = 0;
    for (let i = 0; i < 2; i++) {
      if (at + COUNT_BYTES > data.byteLength) return false;
      const entries = data.getUint32(at, true);
      at += COUNT_BYTES;
      if (entries > ENTRIES_MAX || at + entries * MAC_BYTES > data.byteLength) return false;
      for (let j = 0; j < entries; j++, at += MAC_BYTES) table.add(readMac(data, at));
    }
    this.#table = table;
    return true;
  }

  /** For a snapshot. */
  save(): unknown {
    const { isPromiscuous, takesAllGroups } = this;
    return { isPromiscuous, takesAllGroups, table: [...this.#table] };
  }

  restore(fields: Fields): void {
    this.isPromiscuous = fields.flag("isPromiscuous");
    this.takesAllGroups = fields.flag("takesAllGroups");
    this.#table = new Set(fields.counts("table", 2 * ENTRIES_MAX, BROADCAST));
  }
}
