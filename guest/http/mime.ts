// Content types by extension, from the table that tools/mime.mjs makes. Leaves.
import { GROUPS, NAME_BYTES_MAX, NAMES, TYPE_OF, TYPES } from "mime-table";
import { text } from "../../kernel/api";
import { lower, putBytes, putText } from "./text";

/** The type of names without a known extension. */
const NO_TYPE: u32 = 0xffff_ffff;

/** A content type: equal numbers are equal types. */
export type TypeId = u32;

const name: usize = memory.data(NAME_BYTES_MAX);

/** The type of a path by the extension of its last component, in either case. */
export function typeOf(path: usize, bytes: u32): TypeId {
  let at = path + bytes;
  while (at > path && load<u8>(at - 1) != 0x2e && load<u8>(at - 1) != 0x2f) at--;
  const length = <u32>(path + bytes - at);
  if (at == path || load<u8>(at - 1) == 0x2f || length > NAME_BYTES_MAX) return NO_TYPE;
  for (let i: u32 = 0; i < length; i++) store<u8>(name + i, lower(load<u8>(at + i)));
  return find(length);
}

/** The type of the extension in `name`, found among those of its length. */
function find(length: u32): TypeId {
  const group = GROUPS + (length << 2);
  const before: u32 = load<u16>(group);
  const start = NAMES + load<u16>(group, 2);
  let low: u32 = 0;
  let high: u32 = <u32>load<u16>(group, 4) - before;
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = memory.compare(start + middle * length, name, length);
    if (order == 0) return load<u16>(TYPE_OF + ((before + middle) << 1));
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return NO_TYPE;
}

/** Writes the media type; returns the address after it. */
export function putType(at: usize, type: TypeId): usize {
  if (type == NO_TYPE) return putText(at, text("application/octet-stream"));
  return putBytes(at, TYPES + type + 1, load<u8>(TYPES + type));
}
