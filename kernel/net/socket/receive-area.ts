// The vsock zero-copy receive RFC of 2022 on top of receive loans: areaMap is its mmap, areaEnable
// its enabling option, areaReceive its receiving getsockopt, areaAdviseDontNeed its madvise. Where
// the RFC maps a page, a table says where the page is.
//
//   area ──► ┌───────────────────────────────────────┐    page  1     2     3     4     5
//   (page 0) │ {56, 0} {4096, 0} {8200, 0} {0, 0} ...│         [56]  [4096][4096][4096][8]
//            └───────────────────────────────────────┘          own   └── of the device ──┘
import { Errno } from "../../../abi/errno";
import { NetStats } from "../../../abi/stats";
import { ToroFreeMem, ToroGetAlignedMem } from "../../memory";
import { MSG_DONTWAIT } from "./flags";
import { Loan, SysSocketRecvLoan, SysSocketRelease } from "./loan";
import { SO_RCVLOAN, SysSocketSetOption } from "./options";
import { waitForData } from "./receive";
import { NO_SOCKET, packetsOf, SocketState, statsOf } from "./socket";
import { copyPayload } from "./stats";
import { socketOf } from "./table";

/** One packet, in the array at the area's start; an entry of length 0 ends it. */
@unmanaged
export class AreaEntry {
  length: u32;
  flags: u32; // always 0: a stream has no messages
}

@unmanaged
class Area {
  address: usize;
  pages: u32; // after page 0
  pagesUsed: u32;
  packets: u32; // 0: it is ready to receive
  socket: i32; // that lent the packets
}

const PAGE_BYTES: u32 = 4096;
/** The RFC's option is the area's address, as a u64. */
const OPTION_BYTES: u32 = 8;
/** Packets in an area: the array and its end fill page 0. */
const PACKETS_MAX: u32 = PAGE_BYTES / <u32>offsetof<AreaEntry>() - 1;
const PAGES_MAX: u32 = 4096;
const AREAS_MAX: u32 = 16;
/** An AreaEntry of length 0. */
const END: u64 = 0;

if (PACKETS_MAX >= PAGE_BYTES / 8) ERROR("area: the array exceeds its page");
if (offsetof<AreaEntry>() != 8) ERROR("area: an entry is not 8 bytes");

// After an area's pages: the Area, the token of each packet, and the address of each page.
const TOKENS: usize = offsetof<Area>();
const TABLE: usize = TOKENS + PACKETS_MAX * 4;

const NO_AREA: Area = changetype<Area>(0);
const areas: usize = memory.data(16 * 4);
const loan = changetype<Loan>(memory.data(offsetof<Loan>()));

/** The place in the list of the area at `address`; for address 0: a free place. 0: none. */
function placeOf(address: usize): usize {
  for (let i: u32 = 0; i < AREAS_MAX; i++) {
    const area = changetype<Area>(<usize>load<u32>(areas + (i << 2)));
    if ((area == NO_AREA ? 0 : area.address) == address) return areas + (i << 2);
  }
  return 0;
}

function areaAt(address: usize): Area {
  const place = placeOf(address);
  return place == 0 ? NO_AREA : changetype<Area>(<usize>load<u32>(place));
}

/**
 * Allows areaReceive on the socket; connections inherit that from their listener. This is
 * SO_RCVLOAN, off by default, with the RFC's rule of when it may be set. Does not yield. Returns 0,
 * -EOPNOTSUPP when the socket is connected or connecting, or -EBADF.
 */
export function areaEnable(socket: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const tooLate = s.state == SocketState.Connecting || s.state == SocketState.Connected;
  return tooLate ? -Errno.EOPNOTSUPP : SysSocketSetOption(socket, SO_RCVLOAN, 1);
}

/**
 * Makes a receive area of page 0 and 1 to 4096 more pages, with memory for packets that must be
 * copied. Does not yield. Returns its address; 0: no memory, too many pages or none, or there are
 * 16 areas already. areaUnmap frees it.
 */
export function areaMap(pages: u32): usize {
  const place = placeOf(0);
  if (place == 0 || pages == 0 || pages > PAGES_MAX) return 0;
  const bytes = (pages + 1) * PAGE_BYTES;
  const address = ToroGetAlignedMem(TABLE + bytes + (pages << 2), PAGE_BYTES);
  if (address == 0) return 0;
  memory.fill(address + bytes, 0, TABLE);
  const area = changetype<Area>(address + bytes);
  area.address = address;
  area.pages = pages;
  store<u64>(address, END);
  store<u32>(place, <u32>changetype<usize>(area));
  return address;
}

/**
 * The address of the area's i-th page; page 1 follows page 0. The bytes are read-only, and valid
 * until areaAdviseDontNeed. 0: not an area, or it holds no such page.
 */
export function areaPage(address: usize, i: u32): usize {
  const area = areaAt(address);
  if (area == NO_AREA || i - 1 >= area.pagesUsed) return 0;
  return load<u32>(changetype<usize>(area) + TABLE + ((i - 1) << 2));
}

/**
 * Fills the area with all whole packets that are queued and fit; waits until there is one. `length`
 * is that of the RFC's option. Each packet takes the next ceil(length / 4096) pages: those that the
 * device wrote, unless they do not start on a page boundary or share their last page. Copied into
 * the area's own pages are small packets (up to vsock.rx_copybreak), the rest of a packet that was
 * partly read, and all packets with vsock.rx_header=inline or vsock.rx_buffers=small. Packets of
 * more than 4096 bytes need buffers of 64 KiB: into a ring of pages (vsock.rx_buffers=page) the
 * device puts a packet for each 4096 bytes.
 *
 * Packets that do not fit stay queued. areaAdviseDontNeed gives the peer its credit back. Yields.
 * Returns the number of packets; 0 at the end of the stream; -EINVAL for a length below 8, an
 * address that is no area's, and an area that still holds packets; -EOPNOTSUPP without areaEnable;
 * -EMSGSIZE when the first packet has more pages than the area; or as SysSocketRecvLoan.
 */
export function areaReceive(socket: i32, address: usize, length: u32): i32 {
  if (length < OPTION_BYTES || !isReady(address)) return -Errno.EINVAL;
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (!s.keepsApart) return -Errno.EOPNOTSUPP;
  const status = waitForData(socket, 1, 0);
  if (status <= 0) return status;
  // Another thread may have used or unmapped the area meanwhile.
  return isReady(address) ? fill(areaAt(address), socket) : -Errno.EINVAL;
}

/** Is it an area, and empty? */
function isReady(address: usize): bool {
  const area = areaAt(address);
  return area != NO_AREA && area.packets == 0;
}

/** The socket has data. Returns the number of packets, or an error: then it has taken none. */
function fill(area: Area, socket: i32): i32 {
  const packets = packetsOf(socketOf(socket));
  let error: i32 = 0;
  area.socket = socket;
  while (area.packets < PACKETS_MAX) {
    const packet = packets.first;
    if (!packet) break;
    // Check before lending: a loan cannot be undone, only consumed.
    const pages = (packet.length - packet.offset + PAGE_BYTES - 1) / PAGE_BYTES;
    error = -Errno.EMSGSIZE;
    if (pages > area.pages - area.pagesUsed) break;
    error = SysSocketRecvLoan(socket, changetype<usize>(loan), 1, MSG_DONTWAIT);
    if (error < 0) break;
    const shown = ((<u32>loan.address | packet.capacity) & (PAGE_BYTES - 1)) == 0;
    enter(area, pages, shown ? loan.address : copied(area));
  }
  return area.packets == 0 ? error : <i32>area.packets;
}

/** Copies the loan into the area's own pages after those in use. Returns the address. */
function copied(area: Area): usize {
  const to = area.address + (area.pagesUsed + 1) * PAGE_BYTES;
  const stats = statsOf(socketOf(area.socket));
  copyPayload(stats, NetStats.socketToUser, to, loan.address, loan.length);
  return to;
}

/** Enters the loan as the area's next packet: overwrites END, and writes END after it. */
function enter(area: Area, pages: u32, from: usize): void {
  assert(pages <= area.pages - area.pagesUsed, "too large");
  const record = changetype<usize>(area);
  for (let i: u32 = 0; i < pages; i++) {
    store<u32>(record + TABLE + (area.pagesUsed++ << 2), <u32>from + i * PAGE_BYTES);
  }
  store<u32>(record + TOKENS + (area.packets << 2), loan.token);
  const entry = changetype<AreaEntry>(area.address + area.packets * offsetof<AreaEntry>());
  entry.length = loan.length;
  area.packets++;
  store<u64>(changetype<usize>(entry) + offsetof<AreaEntry>(), END);
}

/**
 * Gives the pages of the area back, whatever has become of the socket, and the peer its credit; the
 * area is then ready to receive. Does not yield. Returns 0, or -EINVAL: not an area.
 */
export function areaAdviseDontNeed(address: usize): i32 {
  const area = areaAt(address);
  if (area == NO_AREA) return -Errno.EINVAL;
  const tokens = changetype<usize>(area) + TOKENS;
  const released = SysSocketRelease(area.socket, tokens, area.packets);
  assert(released == <i32>area.packets, "not lent");
  area.packets = area.pagesUsed = 0;
  store<u64>(address, END);
  return 0;
}

/** areaAdviseDontNeed, and frees the area. Does not yield. Returns 0, or -EINVAL: not an area. */
export function areaUnmap(address: usize): i32 {
  if (areaAdviseDontNeed(address) < 0) return -Errno.EINVAL;
  store<u32>(placeOf(address), 0);
  return ToroFreeMem(address);
}
