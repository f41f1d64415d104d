// Errors of the host's file calls as the guest sees them: numbers of Linux, whatever the host is.
import { Errno } from "../../../abi/errno.ts";

const NUMBERS = new Map<string, number>([
  ["EPERM", Errno.EPERM],
  ["ENOENT", Errno.ENOENT],
  ["EINTR", Errno.EINTR],
  ["EIO", Errno.EIO],
  ["ENXIO", Errno.ENXIO],
  ["EBADF", Errno.EBADF],
  ["EAGAIN", Errno.EAGAIN],
  ["ENOMEM", Errno.ENOMEM],
  ["EACCES", Errno.EACCES],
  ["EBUSY", Errno.EBUSY],
  ["EEXIST", Errno.EEXIST],
  ["EXDEV", Errno.EXDEV],
  ["ENODEV", Errno.ENODEV],
  ["ENOTDIR", Errno.ENOTDIR],
  ["EISDIR", Errno.EISDIR],
  ["EINVAL", Errno.EINVAL],
  ["ENFILE", Errno.ENFILE],
  ["EMFILE", Errno.EMFILE],
  ["ETXTBSY", Errno.ETXTBSY],
  ["EFBIG", Errno.EFBIG],
  ["ENOSPC", Errno.ENOSPC],
  ["EROFS", Errno.EROFS],
  ["EMLINK", Errno.EMLINK],
  ["ENAMETOOLONG", Errno.ENAMETOOLONG],
  ["ENOTEMPTY", Errno.ENOTEMPTY],
  ["ELOOP", Errno.ELOOP],
  ["EOVERFLOW", Errno.EOVERFLOW],
  ["EOPNOTSUPP", Errno.EOPNOTSUPP],
  ["ENOTSUP", Errno.EOPNOTSUPP],
  ["ETIMEDOUT", Errno.ETIMEDOUT],
  ["ESTALE", Errno.ESTALE],
  ["EDQUOT", Errno.EDQUOT],
]);

/** What this server refuses by itself, thrown as file calls throw: what was begun is undone. */
class Refusal extends Error {
  constructor(readonly result: number) {
    super(`errno ${-result}`);
  }
}

/** To be thrown; `result` is -Errno. */
export function refusal(result: number): Error {
  return new Refusal(result);
}

/** The value, or else its -Errno is thrown. */
export function orThrow<T>(value: T | number): T {
  if (typeof value === "number") throw refusal(value);
  return value;
}

/** -Errno for what a file call threw; rethrows what has no code: that is a bug, not an answer. */
export function errnoOf(error: unknown): number {
  if (error instanceof Refusal) return error.result;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string") throw error;
  return -(NUMBERS.get(code) ?? Errno.EIO);
}
