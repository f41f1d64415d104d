// How sockets move data, by kernel parameter, so that one image can be measured in all modes.
import { parameterChoice, parameterInRange } from "../../parameters";

/** How SysSocketSend passes the sender's bytes on. */
export const enum SendMode {
  TwoCopy, // user -> packet -> buffer of the ring
  OneCopy, // user -> packet, which the descriptor points to
  ZeroCopy, // the descriptors point to the user's own buffers
}

export let sendMode: SendMode = SendMode.ZeroCopy;
/** Shorter sends are copied in every mode: a copy costs less than waiting for the buffer. */
export let txCopybreak: u32 = 65536;
/** On sockets that keep packets apart, up to this many bytes are copied out of the ring buffer. */
export let rxCopybreak: u32 = 256;
/** The largest receive window of a socket that does not ask for another. */
export let windowMax: u32 = 262144;

const WINDOW_LEAST: u32 = 4096;
const WINDOW_MOST: u32 = 1 << 28;

export function socketSettingsInit(): void {
  sendMode = <SendMode>parameterChoice(
    "vsock.send", sendMode, "two-copy", "one-copy", "zero-copy",
  );
  txCopybreak = parameterInRange("vsock.tx_copybreak", txCopybreak, 0, u32.MAX_VALUE);
  rxCopybreak = parameterInRange("vsock.rx_copybreak", rxCopybreak, 0, 65536);
  windowMax = parameterInRange("vsock.window", windowMax, WINDOW_LEAST, WINDOW_MOST);
}
