// How the rings of network cards are filled, by kernel parameter, so that one image can be measured
// in all modes.
import { kernelParameter } from "../../commandline";
import { parameterChoice, parameterInRange } from "../../parameters";
import { pooling, setPooling, setSplitHeader } from "./settings";

/** Which buffers a receive ring holds. */
export const enum CardBuffers {
  Small, // 1526 bytes with the header
  Page, // 4096 bytes of frame
  Large, // a frame of many segments
  Paged, // the same, of separate pages: 20 descriptors
  Mixed, // large ones, and pages for small frames
  Mergeable, // pages, of which a frame takes several
  Fitting, // large ones for a card whose frames exceed a page, else mergeable
}

/** Where a frame lies in its buffer. */
export const enum CardHeader {
  Inline, // after the header, in one descriptor
  Split, // on pages of its own
  Fitted, // 66 bytes in front of a page, where the payload of TCP begins
}

/** When sent packets are freed. */
export const enum CardCompletion {
  Sync, // before the next one is sent
  Lazy, // when the next one is sent, or at any interrupt
  Interrupt, // at an interrupt for each
}

export let cardBuffers: CardBuffers = CardBuffers.Fitting;
export let cardHeader: CardHeader = CardHeader.Split;
export let cardCompletion: CardCompletion = CardCompletion.Lazy;
export let cardRxRing: u32 = 128;
export let cardTxRing: u32 = 256;
export let cardIndirect: bool = true;
/** Pairs of queues that are used if the device has as many. */
export let cardPairs: u32 = 1;

const RING_MIN: u32 = 32;
const RING_MAX: u32 = 32768;
const PAIRS_MAX: u32 = 8;

let headerIsChosen: bool = false;

/**
 * Settles what Fitting means for a card, once its features are known. Merged buffers are in one
 * block with their headers, unless the parameters say otherwise.
 */
export function settleBuffers(isLarge: bool): void {
  if (cardBuffers != CardBuffers.Fitting) return;
  cardBuffers = isLarge ? CardBuffers.Large : CardBuffers.Mergeable;
  if (!isLarge && !headerIsChosen) cardHeader = CardHeader.Inline;
}

/**
 * Reads the parameters. Called by the driver of a card, before it makes its rings. The pool is
 * vsock's as well: its settings change for both.
 */
export function cardSettingsInit(): void {
  cardBuffers = <CardBuffers>parameterChoice(
    "net.rx_buffers", cardBuffers, "small", "page", "large", "paged", "mixed", "mergeable",
  );
  if (cardBuffers == CardBuffers.Mergeable) cardHeader = CardHeader.Inline;
  headerIsChosen = kernelParameter("net.rx_header") != 0;
  cardHeader = <CardHeader>parameterChoice("net.rx_header", cardHeader, "inline", "split", "78");
  cardCompletion = <CardCompletion>parameterChoice(
    "net.tx_complete", cardCompletion, "sync", "lazy", "interrupt",
  );
  cardRxRing = parameterInRange("net.rx_ring", cardRxRing, RING_MIN, RING_MAX);
  cardTxRing = parameterInRange("net.tx_ring", cardTxRing, RING_MIN, RING_MAX);
  cardIndirect = parameterChoice("net.indirect", cardIndirect, "off", "on") != 0;
  cardPairs = parameterInRange("net.pairs", cardPairs, 1, PAIRS_MAX);
  setPooling(parameterChoice("net.page_pool", pooling, "off", "on") != 0);
  // Merged buffers are in one block anyway.
  if (cardHeader == CardHeader.Inline && cardBuffers != CardBuffers.Mergeable) {
    setSplitHeader(false);
  }
}
