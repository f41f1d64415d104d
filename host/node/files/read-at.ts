// Positioned reads into several views, exact for every offset of 64 bits.
import * as fs from "node:fs";

/** Fills the views from offset on; returns the bytes read, fewer at the end of the file. */
export function readAt(
  descriptor: number,
  views: readonly Uint8Array[],
  offset: number | bigint,
): number {
  if (views.length === 1) return readOne(descriptor, views[0] as Uint8Array, offset);
  // readv takes numbers only, and reads at the current position when it is given anything else.
  if (typeof offset === "number") return fs.readvSync(descriptor, views, offset);
  let done = 0;
  for (const view of views) {
    const n = readOne(descriptor, view, offset + BigInt(done));
    done += n;
    if (n < view.length) break;
  }
  return done;
}

function readOne(descriptor: number, view: Uint8Array, offset: number | bigint): number {
  return fs.readSync(descriptor, view, 0, view.length, offset);
}
