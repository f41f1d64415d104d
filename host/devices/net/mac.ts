// MAC addresses as numbers: 48 bits, the first octet highest.
import { MAC_BYTES } from "../../../abi/ethernet.ts";

export const BROADCAST = 2 ** 48 - 1;
const FIRST_OCTET = 2 ** 40;
const UPPER_HALF = 2 ** 32;

export function readMac(view: DataView, at: number): number {
  return view.getUint16(at) * UPPER_HALF + view.getUint32(at + 2);
}

export function writeMac(view: DataView, at: number, mac: number): void {
  view.setUint16(at, Math.floor(mac / UPPER_HALF));
  view.setUint32(at + 2, mac % UPPER_HALF);
}

/** Is it an address of many: broadcast or multicast? */
export function isGroup(mac: number): boolean {
  return (Math.floor(mac / FIRST_OCTET) & 1) === 1;
}

/** Throws RangeError if `text` is not the address of one card, as in 02:74:6f:00:00:01. */
export function parseMac(text: string): number {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new RangeError(`net: ${text} is no MAC`);
  const mac = Number.parseInt(text.replaceAll(":", ""), 16);
  if (mac === 0 || isGroup(mac)) throw new RangeError(`net: ${text} is no card's MAC`);
  return mac;
}

export function formatMac(mac: number): string {
  const digits = mac.toString(16).padStart(MAC_BYTES * 2, "0");
  return digits.replace(/(..)(?!$)/g, "$1:");
}
