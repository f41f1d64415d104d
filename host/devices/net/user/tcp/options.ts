// Options of a SYN: the largest segment and the scale of the window (RFC 9293, 3.7.1; RFC 7323, 2).
// On a link that loses nothing and delivers in order, timestamps and SACK would add bytes alone.
import {
  TCP_MAX_WINSHIFT,
  TCP_MSS_DEFAULT,
  TCPOLEN_MAXSEG,
  TCPOLEN_WINDOW,
  TCPOPT_EOL,
  TCPOPT_MAXSEG,
  TCPOPT_NOP,
  TCPOPT_WINDOW,
} from "../../../../../abi/tcp.ts";

export interface SynOptions {
  readonly mss: number;
  /** Of the sender's windows; null: it does not scale, and its peer must not either. */
  readonly shift: number | null;
}

/** A smaller one would make a stream of bytes into one of headers. */
const MSS_LEAST = 88;

/** Those between two addresses; unknown ones are skipped, and parsing ends at an impossible one. */
export function readSynOptions(view: DataView, from: number, end: number): SynOptions {
  let mss: number = TCP_MSS_DEFAULT;
  let shift: number | null = null;
  for (let at = from; at < end; ) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_EOL) break;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) break;
    if (kind === TCPOPT_MAXSEG && length === TCPOLEN_MAXSEG) mss = view.getUint16(at + 2);
    if (kind === TCPOPT_WINDOW && length === TCPOLEN_WINDOW) {
      shift = Math.min(view.getUint8(at + 2), TCP_MAX_WINSHIFT);
    }
    at += length;
  }
  return { mss: Math.max(mss, MSS_LEAST), shift };
}

/** Writes options; returns their length, a multiple of four. */
export function writeSynOptions(view: DataView, at: number, { mss, shift }: SynOptions): number {
  view.setUint8(at, TCPOPT_MAXSEG);
  view.setUint8(at + 1, TCPOLEN_MAXSEG);
  view.setUint16(at + 2, mss);
  if (shift === null) return TCPOLEN_MAXSEG;
  view.setUint8(at + 4, TCPOPT_NOP);
  view.setUint8(at + 5, TCPOPT_WINDOW);
  view.setUint8(at + 6, TCPOLEN_WINDOW);
  view.setUint8(at + 7, shift);
  return TCPOLEN_MAXSEG + TCPOLEN_WINDOW + 1;
}
