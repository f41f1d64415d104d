// Why a snapshot cannot be taken, read or restored.

/** Kinds of SnapshotError. */
export type SnapshotErrorCode =
  /** Of another image, or an image that cannot be saved. */
  | "ERR_SNAPSHOT_IMAGE"
  /** Of a machine with other devices or another size of memory. */
  | "ERR_SNAPSHOT_MACHINE"
  /** Not a snapshot, of another version, damaged, or in a state that cannot be. */
  | "ERR_SNAPSHOT_DAMAGED"
  /** The machine cannot be saved now, or not at all. */
  | "ERR_SNAPSHOT_BUSY";

/** The message is for the user of the snapshot. */
export class SnapshotError extends Error {
  override name = "SnapshotError";
  readonly code: SnapshotErrorCode;

  constructor(code: SnapshotErrorCode, message: string) {
    super(`snapshot: ${message}`);
    this.code = code;
  }
}

/** The snapshot says something that cannot be. */
export function damaged(fact: string): SnapshotError {
  return new SnapshotError("ERR_SNAPSHOT_DAMAGED", fact);
}
