// The Internet checksum (RFC 1071) over many bytes. A loop of JavaScript takes 40 us for 64 KiB,
// these 270 bytes of WebAssembly two: so what is summed lies in a memory of their own. The text
// that they are assembled from is test/support/sum.wat.

const MODULE =
  "AGFzbQEAAAABBwFgAn9/AX8CDwEDbmV0Bm1lbW9yeQIAAQMCAQAHBwEDc3VtAAAKlAIBkQICAn4CfyAAIAFqIQQgACAB" +
  "QWBxaiEFAkADQCAAIAVPDQEgAiAANQIAfCECIAMgADUCBHwhAyACIAA1Agh8IQIgAyAANQIMfCEDIAIgADUCEHwhAiAD" +
  "IAA1AhR8IQMgAiAANQIYfCECIAMgADUCHHwhAyAAQSBqIQAMAAsLIARBAWshBQJAA0AgACAFTg0BIAIgADMBAHwhAiAA" +
  "QQJqIQAMAAsLIAAgBEkEQCACIAAxAAB8IQILIAIgA3whAiACQv////8PgyACQiCIfCECIAJC/////w+DIAJCIIh8IQIg" +
  "AkL//wODIAJCEIh8IQIgAkL//wODIAJCEIh8IQIgAqchBCAEQf8BcUEIdCAEQQh2cgs=";

const PAGE_BYTES = 65536;

type Sum = (at: number, bytes: number) => number;

/** The bytes of the routine, as they were assembled. */
export function sumModule(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(MODULE), (octet) => octet.charCodeAt(0));
}

/** Memory whose bytes can be summed. It never grows, so that views of it stay valid. */
export class SumMemory {
  readonly u8: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** The sum of the 16-bit words at `at`, folded to 16 bits; an odd last byte is an upper half. */
  readonly sum: Sum;

  /** Pages of 64 KiB; the system lends those that have been touched. */
  constructor(pages: number) {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const buffer = memory.buffer as ArrayBuffer;
    if (buffer.byteLength !== pages * PAGE_BYTES) throw new Error("net: no memory for packets");
    this.u8 = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    const module = new WebAssembly.Module(sumModule());
    this.sum = new WebAssembly.Instance(module, { net: { memory } }).exports.sum as Sum;
  }
}

/** Adds sums, and carries; below 2^32 each. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** The sum of bytes that follow `before` others: after an odd number halves change places. */
export function placed(sum: number, before: number): number {
  return (before & 1) === 0 ? sum : ((sum & 0xff) << 8) | (sum >>> 8);
}

/** The sum of a pseudo header (RFC 9293, 3.1); `bytes`: of the segment or datagram. */
export function pseudoSum(
  source: number,
  destination: number,
  protocol: number,
  bytes: number,
): number {
  const addresses =
    (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
  return addresses + protocol + bytes;
}
