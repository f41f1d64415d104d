// File descriptors are for clients and files alike, and a process has so many. When none is left
// libuv accepts clients and closes them without a word, and files cannot be opened: so clients are
// turned away while some are left.
import { readFileSync } from "node:fs";
import type net from "node:net";
import { descriptorOf } from "./rewrap.ts";

/** Clients leave this part of the descriptors to files. */
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

/** Why a new client cannot stay, or null. A new descriptor is the lowest number that is free. */
export function shortage(client: net.Socket, max: number): Error | null {
  const open = descriptorOf(client) ?? 0;
  if (open < max - Math.ceil(max / RESERVE_SHARE)) return null;
  const message = `${open} of ${max} file descriptors are open, and the others are for files`;
  return Object.assign(new Error(message), { code: "EMFILE" });
}
