// A number in a file. Calls return a negative error.
import {
  Errno,
  O_CREAT,
  O_RDWR,
  Span,
  spanAddress,
  spanBytes,
  SysCloseFile,
  SysOpenFile,
  SysReadFileAt,
  SysSyncFile,
  SysTruncateOpenFile,
  SysWriteFileAt,
} from "torito/kernel/api";

/** Digits of a number, and one more byte to see that there are no more. */
const DIGITS_MAX: i32 = 9;

/** Adds one to the number in the file, and returns it: 1 the first time. */
export function next(path: Span): i32 {
  const file = SysOpenFile(spanAddress(path), spanBytes(path), O_RDWR | O_CREAT);
  if (file < 0) return file;
  const count = read(file);
  const status = count < 0 ? count : write(file, count + 1);
  SysCloseFile(file);
  return status < 0 ? status : count + 1;
}

function read(file: i32): i32 {
  const bytes = new Uint8Array(DIGITS_MAX + 1);
  const length = SysReadFileAt(file, bytes.dataStart, bytes.length, 0);
  return length < 0 ? length : parse(bytes, length);
}

/** The number that the digits give, 0 if there are none. */
export function parse(bytes: Uint8Array, length: i32): i32 {
  if (length > DIGITS_MAX) return -Errno.EINVAL;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const digit = <i32>bytes[i] - 0x30;
    if (digit < 0 || digit > 9) return -Errno.EINVAL;
    value = value * 10 + digit;
  }
  return value;
}

function write(file: i32, value: i32): i32 {
  const digits = String.UTF8.encode(value.toString());
  const bytes = digits.byteLength;
  let status = SysTruncateOpenFile(file, 0);
  if (status == 0) status = SysWriteFileAt(file, changetype<usize>(digits), bytes, 0);
  return status < 0 ? status : SysSyncFile(file, false);
}
