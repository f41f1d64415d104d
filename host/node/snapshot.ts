// Snapshots in files.
import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { decodeSnapshot, encodeSnapshot } from "../snapshot/file.ts";
import * as core from "../snapshot/snapshot.ts";
import { sha256 } from "./platform.ts";

/** It holds what the guest knew: others must not read it. */
const MODE = 0o600;

/** A halted machine, in memory or in a file. Machine.restore() continues it. */
export class Snapshot extends core.Snapshot {
  /** The same, for files. */
  static of({ content, State }: core.Snapshot): Snapshot {
    return new Snapshot(content, State);
  }

  /**
   * Reads a file that save() has written. It may be anybody's: damage is found, and restoring it is
   * as safe as running its guest. Rejects with SnapshotError if it is no snapshot, of another
   * version or damaged, and with Node's error if it cannot be read.
   */
  static async load(path: string): Promise<Snapshot> {
    return Snapshot.of(decodeSnapshot(await readFile(path), sha256));
  }

  /**
   * Writes the snapshot to a file that only its owner may read, in place of one that was there, and
   * waits until it is on disk. The file stays as it was if that fails.
   */
  async save(path: string): Promise<void> {
    const beside = `${path}.${randomBytes(6).toString("hex")}`;
    try {
      const file = await open(beside, "wx", MODE);
      try {
        await file.writeFile(encodeSnapshot(this, sha256));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(beside, path);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
  }
}
