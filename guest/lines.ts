// Lines of a socket, for protocols that consist of them.
import { NEVER } from "../kernel/api";
import { receiveLine } from "./receive";
import { decodeUtf8 } from "./utf8";

const CR: u32 = 13;

/** It leaves in the socket what follows the line, so that another reader may go on. */
@final
export class LineReader {
  /** Why next() has returned null: 0 at the end, or a negative error. */
  error: i32 = 0;
  private buffer: usize;

  /** Lines of at most `lineMax` bytes, with their end. */
  constructor(
    private socket: i32,
    private lineMax: i32,
  ) {
    this.buffer = __new(max(lineMax, 2), idof<ArrayBuffer>());
  }

  /**
   * The next line, without LF or CR LF. Yields. Null at the end, also of a line that was begun
   * (then `error` is -EPROTO); for a line that is too long, -EMSGSIZE; and for an error of the
   * socket.
   */
  next(): string | null {
    const bytes = receiveLine(this.socket, this.buffer, this.lineMax, NEVER);
    if (bytes <= 0) return this.fail(bytes);
    const hasCr = bytes >= 2 && load<u8>(this.buffer + bytes - 2) == CR;
    return decodeUtf8(this.buffer, bytes - (hasCr ? 2 : 1));
  }

  private fail(error: i32): string | null {
    this.error = error;
    return null;
  }
}
