// Positioned writes of several views, and taking back what was just made.
import * as fs from "node:fs";

/** Writes the views from offset on; returns the bytes written. */
export function writeAt(descriptor: number, views: readonly Uint8Array[], offset: number): number {
  if (views.length > 1) return fs.writevSync(descriptor, views, offset);
  const [view] = views;
  return view === undefined ? 0 : fs.writeSync(descriptor, view, 0, view.length, offset);
}

/** Closes and removes a file that has just been made, if it still is what the path leads to. */
export function removeMade(descriptor: number, path: Buffer): void {
  try {
    const made = fs.fstatSync(descriptor, { bigint: true });
    const now = fs.lstatSync(path, { bigint: true });
    if (made.dev === now.dev && made.ino === now.ino) fs.unlinkSync(path);
  } finally {
    fs.closeSync(descriptor);
  }
}
