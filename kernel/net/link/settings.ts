// How packets are stored and rings filled, by kernel parameter, so that one image can be measured
// in all modes.
import { parameterChoice, parameterInRange } from "../../parameters";

/** Which buffers a receive ring holds. */
export const enum RxBuffers {
  Small, // 1526 bytes with the header
  Page, // 4096 bytes of payload
  Large, // 64 KiB of payload
  Mixed, // large ones, and pages for small packets
}

export let rxRing: u32 = 128;
export let txRing: u32 = 256;
export let rxBuffers: RxBuffers = RxBuffers.Mixed;
/** Gives the header a descriptor of its own, so that the payload starts on a page. */
export let splitHeader: bool = true;
export let indirect: bool = true;
/** Keeps returned buffers for the next use. */
export let pooling: bool = true;

const RING_MIN: u32 = 32;
const RING_MAX: u32 = 32768;

export function linkSettingsInit(): void {
  rxBuffers = <RxBuffers>parameterChoice(
    "vsock.rx_buffers", rxBuffers, "small", "page", "large", "mixed",
  );
  rxRing = parameterInRange("vsock.rx_ring", rxRing, RING_MIN, RING_MAX);
  txRing = parameterInRange("vsock.tx_ring", txRing, RING_MIN, RING_MAX);
  splitHeader = parameterChoice("vsock.rx_header", splitHeader, "inline", "split") != 0;
  indirect = parameterChoice("vsock.indirect", indirect, "off", "on") != 0;
  pooling = parameterChoice("vsock.page_pool", pooling, "off", "on") != 0;
}

/** Keeps returned buffers from now on, or keeps none. */
export function setPooling(isOn: bool): void {
  pooling = isOn;
}

/** Buffers that are made from now on have a descriptor for the header, or not. */
export function setSplitHeader(isSplit: bool): void {
  splitHeader = isSplit;
}
