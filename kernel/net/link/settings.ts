// How data travels, by kernel parameter, so that one image can be measured in all of its modes.
import { kernelParameter, parameterIs, parameterNumber } from "../../commandline";
import { print } from "../../console";

/** What SysSocketSend does with the sender's bytes. */
export const enum SendMode {
  TwoCopy, // user -> packet -> buffer of the ring
  OneCopy, // user -> packet, which the descriptor points at
  ZeroCopy, // the descriptors point at the user's own buffers
}

/** Which buffers a receive ring holds. */
export const enum RxBuffers {
  Small, // of 1526 bytes with the header
  Page, // of 4096 bytes of payload
  Large, // of 64 KiB of payload
  Mixed, // large ones, and pages for small packets
}

export let sendMode: SendMode = SendMode.ZeroCopy;
/** Shorter sends are copied in any mode: that costs less than to wait for the buffer. */
export let txCopybreak: u32 = 65536;
/** Where packets are kept apart, up to so many bytes are copied out of the ring buffer. */
export let rxCopybreak: u32 = 256;
export let rxRing: u32 = 128;
export let txRing: u32 = 256;
export let rxBuffers: RxBuffers = RxBuffers.Mixed;
/** A descriptor of its own for the header: the payload then begins at a page. */
export let splitHeader: bool = true;
export let indirect: bool = true;
/** Buffers that come back are kept for the next use. */
export let pooling: bool = true;
/** The largest receive window of a socket, unless the socket asks for another. */
export let windowMax: u32 = 262144;

const RING_MIN: u32 = 32;
const RING_MAX: u32 = 32768;
const WINDOW_LEAST: u32 = 4096;
const WINDOW_MOST: u32 = 1 << 28;

/** Reads the parameters. What cannot be meant is told and left as it was. */
export function settingsInit(): void {
  sendMode = <SendMode>choice("vsock.send", "two-copy", "one-copy", "zero-copy", "", sendMode);
  rxBuffers = <RxBuffers>choice("vsock.rx_buffers", "small", "page", "large", "mixed", rxBuffers);
  txCopybreak = number("vsock.tx_copybreak", txCopybreak, 0, u32.MAX_VALUE);
  rxCopybreak = number("vsock.rx_copybreak", rxCopybreak, 0, 65536);
  rxRing = number("vsock.rx_ring", rxRing, RING_MIN, RING_MAX);
  txRing = number("vsock.tx_ring", txRing, RING_MIN, RING_MAX);
  windowMax = number("vsock.window", windowMax, WINDOW_LEAST, WINDOW_MOST);
  splitHeader = choice("vsock.rx_header", "inline", "split", "", "", splitHeader) != 0;
  indirect = choice("vsock.indirect", "off", "on", "", "", indirect) != 0;
  pooling = choice("vsock.page_pool", "off", "on", "", "", pooling) != 0;
}

function choice(name: string, a: string, b: string, c: string, d: string, preset: u32): u32 {
  if (kernelParameter(name) == 0) return preset;
  if (parameterIs(name, a)) return 0;
  if (parameterIs(name, b)) return 1;
  if (c.length != 0 && parameterIs(name, c)) return 2;
  if (d.length != 0 && parameterIs(name, d)) return 3;
  ignored(name);
  return preset;
}

function number(name: string, preset: u32, least: u32, most: u32): u32 {
  if (kernelParameter(name) == 0) return preset;
  const value = parameterNumber(name, u32.MAX_VALUE);
  if (value >= least && value <= most && value != u32.MAX_VALUE) return value;
  ignored(name);
  return preset;
}

function ignored(name: string): void {
  print("kernel: the value of ");
  print(name);
  print(" is ignored\n");
}
