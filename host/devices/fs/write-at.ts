// Positioned writes of several views, and times as Node takes them.
import * as fs from "node:fs";
import type { FileStat, FileTime } from "../../files.ts";

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

/** Both times for utimes: what is to stay is said again, for Node has no way to leave it out. */
export function timesOf(
  atime: FileTime,
  mtime: FileTime,
  stat: () => FileStat,
): [string | Date, string | Date] {
  const now = new Date();
  const old = atime === null || mtime === null ? stat() : null;
  const timeOf = (time: FileTime, stays: bigint | undefined) =>
    time === "now" ? now : secondsOf(time ?? stays ?? 0n);
  return [timeOf(atime, old?.atimeNs), timeOf(mtime, old?.mtimeNs)];
}

/**
 * Seconds as text: a number before 1970 would mean now. Node cuts to microseconds, towards zero,
 * so the middle of one is what arrives as it.
 */
function secondsOf(ns: bigint): string {
  const us = Number((ns - (((ns % 1000n) + 1000n) % 1000n)) / 1000n);
  return String((us + (us < 0 ? -0.5 : 0.5)) / 1e6);
}
