// Which buffers the receive ring of a card holds, and how many.
import { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_MRG_RXBUF } from "../../abi/net";
import { heapBytes } from "../../kernel/memory";
import { frameBytesMax } from "../../kernel/net/link/card";
import {
  CardBuffers,
  cardBuffers,
  CardHeader,
  cardHeader,
  settleBuffers,
} from "../../kernel/net/link/card-settings";
import {
  capacityOf,
  FITTED_LARGE,
  FITTED_PAGE,
  FRAME,
  LARGE,
  MERGED,
  PAGE,
  SEGMENTS,
} from "../../kernel/net/link/pool";
import { NetDriver } from "./driver";

/** Descriptors of the header and the frame, each on its own. */
const SPLIT_SEGMENTS: u32 = 2;
/** 20 descriptors: a header, and 19 pages; what the driver of Linux posted in 2008. */
const PAGED_PARTS: u32 = 18;
/** The ring takes up to this share of the heap. */
const HEAP_SHIFT: u32 = 4;
/** Buffers that it has at least. */
const BUFFERS_MIN: u32 = 2;
/** A mixed ring has up to this many large buffers, which take up to this share of the heap. */
const MIXED_LARGE_MAX: u32 = 32;
const MIXED_LARGE_SHIFT: u32 = 5;

/** Large buffers that a ring should have, or pages serve better. */
const LARGE_MIN: u32 = 16;

/** A frame in many pages would have to be copied together. */
function prefersLarge(driver: NetDriver): bool {
  const bytes = frameBytesMax(driver.card);
  const exceeds = bytes > capacityOf(PAGE) || driver.device.has(VIRTIO_NET_F_GUEST_TSO4);
  return exceeds && shareOfHeap(HEAP_SHIFT) / capacityOf(SEGMENTS) >= LARGE_MIN * driver.pairCount;
}

/** Chooses buffers that hold every frame (NW6, NW17), or parts of one (NW18). */
export function planBuffers(driver: NetDriver): void {
  settleBuffers(prefersLarge(driver));
  const isFitted = cardHeader == CardHeader.Fitted;
  const page = isFitted ? FITTED_PAGE : PAGE;
  const segments = driver.device.has(VIRTIO_NET_F_GUEST_TSO4) ? SEGMENTS : LARGE;
  driver.large = isFitted ? FITTED_LARGE : segments;
  driver.size = sizeOf(driver, page);
  driver.parts = cardBuffers == CardBuffers.Paged ? PAGED_PARTS : 0;
  const isInline = cardHeader == CardHeader.Inline;
  driver.segments = (isInline ? 1 : SPLIT_SEGMENTS) + driver.parts;
}

function sizeOf(driver: NetDriver, page: u32): u32 {
  const bytes = frameBytesMax(driver.card);
  if (cardBuffers == CardBuffers.Paged) return page;
  if (cardBuffers == CardBuffers.Mergeable && driver.device.has(VIRTIO_NET_F_MRG_RXBUF)) {
    return cardHeader == CardHeader.Inline ? MERGED : page;
  }
  if (cardBuffers == CardBuffers.Large || bytes > capacityOf(page)) return driver.large;
  return cardBuffers == CardBuffers.Small && bytes <= capacityOf(FRAME) ? FRAME : page;
}

/** The rings are made, of that size: decides how many buffers each should have. */
export function countBuffers(driver: NetDriver, size: u32): void {
  if (size < driver.segments) { // no chain is longer than the ring (2.7.5.2)
    driver.segments -= driver.parts;
    driver.parts = 0;
    driver.size = driver.large;
  }
  const bytes = (driver.parts + 1) * capacityOf(driver.size) * driver.pairCount;
  driver.wanted = min(size, max(BUFFERS_MIN, shareOfHeap(HEAP_SHIFT) / bytes));
  const larges = shareOfHeap(MIXED_LARGE_SHIFT) / capacityOf(driver.large) / driver.pairCount;
  const isMixed = cardBuffers == CardBuffers.Mixed && driver.size != driver.large;
  driver.largeWanted = isMixed ? min(min(MIXED_LARGE_MAX, size >> 2), max(1, larges)) : 0;
}

function shareOfHeap(shift: u32): u32 {
  return <u32>min<u64>(heapBytes() >> shift, u32.MAX_VALUE);
}
