// Errors of file calls as the guest sees them: Linux's numbers, whatever the host is.
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

const NAMES = new Map([...NUMBERS].reverse().map(([name, number]) => [number, name]));

/** As Linux spells it. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? (errno === Errno.ENOSYS ? "ENOSYS" : `errno ${errno}`);
}

/**
 * A refusal by the server itself, thrown like an error of a file call, so that it is undone alike.
 */
class Refusal extends Error {
  constructor(readonly result: number) {
    super(`errno ${-result}`);
  }
}

/** Does it tell nothing of the file, but that the host is short of something now? */
export function isShortage(result: number): boolean {
  return result === -Errno.EMFILE || result === -Errno.ENFILE || result === -Errno.ENOMEM;
}

/** An error to throw; `result` is -Errno. */
export function refusal(result: number): Error {
  return new Refusal(result);
}

/** The value. If it is an -Errno, throws that. */
export function orThrow<T>(value: T | number): T {
  if (typeof value === "number") throw refusal(value);
  return value;
}

/** -Errno for an error of a file call. Errors without a code are bugs, and are rethrown. */
export function errnoOf(error: unknown): number {
  if (error instanceof Refusal) return error.result;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string") throw error;
  return -(NUMBERS.get(code) ?? Errno.EIO);
}
