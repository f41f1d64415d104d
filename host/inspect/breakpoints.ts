// Events at which a machine is to stop, as the trace shows them.
import { MACHINE, THREADS, type TraceEvent } from "../trace/event.ts";

/** An event to stop at. Fields that are missing fit everything. */
export type Breakpoint =
  /**
   * A packet of vsock of that kind (`RW`, `RST` ...), or a frame of a card (`TCP`, `SYN`, `UDP`,
   * `ARP` ...), with that port on either side.
   */
  | { readonly on: "packet"; readonly op?: string; readonly port?: number }
  /** A request to a file system (`LOOKUP`, `READ` ...). */
  | { readonly on: "file"; readonly op?: string }
  /** A run of a thread, by its id or a part of its name. */
  | { readonly on: "thread"; readonly id?: number; readonly name?: string }
  /** A kick of a queue, by the queue's name. */
  | { readonly on: "kick"; readonly queue?: string }
  /** A file request that fails, or a connection that is reset. */
  | { readonly on: "error" };

const KINDS = ["packet", "file", "thread", "kick", "error"];
export const BREAKPOINTS_MAX = 32;
const TEXT_MAX = 100;

/** Reads a breakpoint that came as JSON; null: it is none. */
export function readBreakpoint(value: unknown): Breakpoint | null {
  if (typeof value !== "object" || value === null) return null;
  const { on, op, port, id, name, queue } = value as Record<string, unknown>;
  const texts = [op, name, queue].filter((one) => one !== undefined);
  const numbers = [port, id].filter((one) => one !== undefined);
  const isRight =
    KINDS.includes(on as string) &&
    texts.every((one) => typeof one === "string" && one.length <= TEXT_MAX) &&
    numbers.every((one) => Number.isInteger(one));
  return isRight ? (value as Breakpoint) : null;
}

const PACKET = /^(.+) (?:from|to) guest$/;

/** A frame of TCP is named as in "TCP PSH+ACK". */
const isOf = (packet: string, op: string): boolean =>
  packet === op || packet.split(/[ +]/).includes(op);

export function hits(breakpoint: Breakpoint, event: TraceEvent): boolean {
  const { name, pid, ph, args = {}, cat } = event;
  if (ph === "M") return false;
  if (breakpoint.on === "thread") {
    if (pid !== THREADS || ph !== "X" || cat === "wait") return false; // no run: a counter
    const { id = event.tid, name: part = "" } = breakpoint;
    return id === event.tid && name.includes(part);
  }
  if (pid !== MACHINE) return false;
  const packet = PACKET.exec(name)?.[1];
  const isFile = "nodeid" in args;
  switch (breakpoint.on) {
    case "packet": {
      const { op = packet, port } = breakpoint;
      const ports = [args.srcPort, args.dstPort];
      if (packet === undefined || op === undefined || !isOf(packet, op)) return false;
      return port === undefined || ports.includes(port);
    }
    case "file":
      return isFile && (breakpoint.op ?? name) === name;
    case "kick":
      return name === "kick" && (breakpoint.queue ?? args.name) === args.name;
    case "error":
      return (isFile && Number(args.error) < 0) || (packet !== undefined && isOf(packet, "RST"));
  }
}
