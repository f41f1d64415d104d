// File descriptors are for clients and files alike, and a process has so many. When none is left
// libuv accepts clients and closes them without a word, and files cannot be opened: so clients are
// turned away while some are left.
import { readdirSync, readFileSync } from "node:fs";
import type net from "node:net";
import { descriptorOf } from "./rewrap.ts";

/** Clients leave to files this part of what is there for both. */
const RESERVE_SHARE = 4;

/** Descriptors that this process may have; without /proc nobody knows. */
export function descriptorsMax(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, soft = "unlimited"] = /^Max open files +(\d+)/m.exec(limits) ?? [];
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Descriptors that this process has; 0 where nobody knows. */
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

  /** `max`: how many the process may have. What it has by now it needs for itself. */
  constructor(max = descriptorsMax()) {
    this.#max = max;
    this.#clientsMax = max - Math.max(1, Math.ceil((max - descriptorsOpen()) / RESERVE_SHARE));
  }

  /** Why a new client cannot stay, or null. A new descriptor is the lowest number that is free. */
  shortage(client: net.Socket): Error | null {
    const open = descriptorOf(client) ?? 0;
    if (open < this.#clientsMax || this.#max === Number.POSITIVE_INFINITY) return null;
    const fact = `${open} of ${this.#max} file descriptors are open`;
    const message = `${fact}, and the others are for files`;
    return Object.assign(new Error(message), { code: "EMFILE" });
  }
}
