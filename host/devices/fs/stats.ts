// Counters of a file system device.
import { errnoName } from "./errno.ts";
import { opcodeName } from "./opcode-names.ts";

/** Counters of a file system device since it was made. */
export interface FsStats {
  /** Including FORGETs. */
  requests: number;
  /** By READ and WRITE, straight between the host's files and the guest's buffers ... */
  bytesRead: number;
  bytesWritten: number;
  /** ... except for these, which were copied in between: by READ, by WRITE, and both. */
  copiedRead: number;
  copiedWritten: number;
  readonly bytesCopied: number;
  readonly answers: FsAnswers;
}

/** An errno takes less. */
const ERRNO_BITS = 12;

/** How requests were answered, by operation and error. Operations that nobody knows are one. */
export class FsAnswers {
  readonly #counts = new Map<number, number>();

  /** `result` is -Errno, or what else an answer says. */
  count(opcode: number, result: number): void {
    const known = opcodeName(opcode) === null ? 0 : opcode;
    const key = (known << ERRNO_BITS) | (result < 0 ? -result : 0);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  /** The operation, the error ("" for none), and how many. */
  get all(): (readonly [string, string, number])[] {
    return [...this.#counts].map(([key, count]) => {
      const errno = key & ((1 << ERRNO_BITS) - 1);
      const name = opcodeName(key >> ERRNO_BITS) ?? "OTHER";
      return [name, errno === 0 ? "" : errnoName(errno), count] as const;
    });
  }
}

export function noStats(): FsStats {
  return {
    requests: 0,
    bytesRead: 0,
    bytesWritten: 0,
    copiedRead: 0,
    copiedWritten: 0,
    get bytesCopied() {
      return this.copiedRead + this.copiedWritten;
    },
    answers: new FsAnswers(),
  };
}
