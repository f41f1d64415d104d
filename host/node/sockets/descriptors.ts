// Clients and files share the file descriptors of the process. When none is left, libuv silently
// closes new clients, and files cannot be opened. So clients are refused while some are left.
import { readdirSync, readFileSync } from "node:fs";

/** Clients leave one part in this many to files. */
const RESERVE_SHARE = 4;

/** The limit of this process. Without /proc it is not known. */
export function descriptorsMax(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, soft = "unlimited"] = /^Max open files +(\d+)/m.exec(limits) ?? [];
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Descriptors that are open; 0: not known. */
function descriptorsOpen(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

export class Descriptors {
  readonly #max: number;
  readonly #clientsMax: number;

  /** `max`: the limit of the process. Descriptors that are open by now are its own. */
  constructor(max = descriptorsMax()) {
    this.#max = max;
    this.#clientsMax = max - Math.max(1, Math.ceil((max - descriptorsOpen()) / RESERVE_SHARE));
  }

  /**
   * Why a new socket cannot stay, or null. Its descriptor, if known, was the lowest free number.
   */
  shortage(open = 0): Error | null {
    if (open < this.#clientsMax || this.#max === Number.POSITIVE_INFINITY) return null;
    const fact = `${open} of ${this.#max} file descriptors are open`;
    const message = `${fact}, and the others are for files`;
    return Object.assign(new Error(message), { code: "EMFILE" });
  }
}
