// The pages of a guest's RAM that are in use: finding them, keeping them, and putting them back.
import { equalBytes } from "../bytes.ts";

export const PAGE_BYTES = 4096;
/** Unused memory is passed over in steps of this size. */
const BLOCK_BYTES = 16 * PAGE_BYTES;

/** Are all of these bytes 0? */
export type IsZero = (bytes: Uint8Array, from: number, to: number) => boolean;

/** Neighbouring pages: the first, and how many. */
export type Run = readonly [first: number, count: number];

/** A range of bytes, whole pages. */
export type Range = readonly [from: number, to: number];

const zeros = new Uint8Array(BLOCK_BYTES);

/** IsZero, wherever there is nothing faster. */
export function isZeroBytes(bytes: Uint8Array, from: number, to: number): boolean {
  return equalBytes(bytes.subarray(from, to), zeros.subarray(0, to - from));
}

/** Calls `visit` for every stretch of the range that is not zero, of at most a block. */
function eachUsed(
  memory: Uint8Array,
  [start, end]: Range,
  isZero: IsZero,
  visit: (from: number, to: number) => void,
): void {
  for (let from = start; from < end; ) {
    const to = Math.min(end, from - (from % BLOCK_BYTES) + BLOCK_BYTES);
    if (!isZero(memory, from, to)) visit(from, to);
    from = to;
  }
}

/** The pages in the ranges, which ascend, that are not zero. */
export function usedPages(memory: Uint8Array, ranges: readonly Range[], isZero: IsZero): Run[] {
  const runs: [number, number][] = [];
  const add = (page: number) => {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === page) last[1]++;
    else runs.push([page, 1]);
  };
  for (const range of ranges) {
    eachUsed(memory, range, isZero, (from, to) => {
      for (let at = from; at < to; at += PAGE_BYTES) {
        if (!isZero(memory, at, at + PAGE_BYTES)) add(at / PAGE_BYTES);
      }
    });
  }
  return runs;
}

export function pagesIn(runs: readonly Run[]): number {
  return runs.reduce((sum, [, count]) => sum + count, 0);
}

/** Copies the pages out of the memory. */
export function copyPages(memory: Uint8Array, runs: readonly Run[]): Uint8Array {
  const pages = new Uint8Array(pagesIn(runs) * PAGE_BYTES);
  let at = 0;
  for (const [first, count] of runs) {
    const start = first * PAGE_BYTES;
    pages.set(memory.subarray(start, start + count * PAGE_BYTES), at);
    at += count * PAGE_BYTES;
  }
  return pages;
}

/**
 * Puts the pages back, and zeros what is in the ranges besides. The runs ascend and are inside the
 * memory. What is zero already is not written, or it would take memory of the host.
 */
export function putPages(
  memory: Uint8Array,
  runs: readonly Run[],
  pages: Uint8Array,
  ranges: readonly Range[],
  isZero: IsZero,
): void {
  const clear = (from: number, to: number) => void memory.fill(0, from, to);
  for (const [start, end] of ranges) {
    let from = start;
    for (const [first, count] of runs) {
      const next = first * PAGE_BYTES;
      if (next >= end) break;
      if (next > from) eachUsed(memory, [from, next], isZero, clear);
      from = Math.max(from, next + count * PAGE_BYTES);
    }
    if (from < end) eachUsed(memory, [from, end], isZero, clear);
  }
  let at = 0;
  for (const [first, count] of runs) {
    const bytes = count * PAGE_BYTES;
    memory.set(pages.subarray(at, at + bytes), first * PAGE_BYTES);
    at += bytes;
  }
}
