// Lines of a socket, for protocols that consist of them.
import { Errno, SysSocketPeek, SysSocketRecv } from "../kernel/api";
import { decodeUtf8 } from "./utf8";

const CR: u32 = 13;
const LF: u32 = 10;

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
    let used = 0;
    while (used < this.lineMax) {
      const at = this.buffer + used;
      const seen = SysSocketPeek(this.socket, at, this.lineMax - used, 0);
      if (seen <= 0) return this.fail(seen == 0 && used != 0 ? -Errno.EPROTO : seen);
      let fresh = 0; // of these bytes, those of the line
      while (fresh < seen && load<u8>(at + fresh) != LF) fresh++;
      const isWhole = fresh < seen;
      if (isWhole) fresh++;
      SysSocketRecv(this.socket, at, fresh, 0);
      used += fresh;
      if (!isWhole) continue;
      const hasCr = used >= 2 && load<u8>(this.buffer + used - 2) == CR;
      return decodeUtf8(this.buffer, used - (hasCr ? 2 : 1));
    }
    return this.fail(-Errno.EMSGSIZE);
  }

  private fail(error: i32): string | null {
    this.error = error;
    return null;
  }
}
