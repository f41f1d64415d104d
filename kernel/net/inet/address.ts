// IPv4 addresses: numbers of 32 bits, the first octet highest.
import { Cursor } from "../../cursor";
import { print, printNumber } from "../../console";

const DOT: u32 = 0x2e;

/**
 * RFC 1122, 3.2.1.3: may a host have it, wherever it is? Not in 0/8, which is this network, in
 * 127/8, which is the host itself, and from 224/4 on, which are groups and reserved.
 */
export function isHostAddress(address: u32): bool {
  const first = address >> 24;
  return first != 0 && first != 127 && first < 224;
}

/** Steps over four octets with dots between them. Returns false, and the address is not valid. */
export function skipAddress(cursor: Cursor): bool {
  parsed = 0;
  for (let i: u32 = 0; i < 4; i++) {
    if (i != 0 && !cursor.skip(DOT)) return false;
    const at = cursor.at;
    const octet = cursor.number(10);
    if (cursor.at == at || cursor.at - at > 3 || octet > 255) return false;
    parsed = (parsed << 8) | octet;
  }
  return true;
}

let parsed: u32 = 0;

/** The address that skipAddress() stepped over last. */
export function skippedAddress(): u32 {
  return parsed;
}

/** Yields as print(). */
export function printAddress(address: u32): void {
  for (let shift: i32 = 24; shift >= 0; shift -= 8) {
    printNumber((address >> shift) & 255);
    if (shift != 0) print(".");
  }
}
