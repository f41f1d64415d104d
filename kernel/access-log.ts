// The guest's side of the access log: applications note their requests in a ring that the host
// empties. Noting never waits, and costs a test if the host does not want it.
import {
  ACCESS_RING_BYTES,
  ACCESS_TARGET_BYTES_MAX,
  ACCESS_TEXT_BYTES_MAX,
  ACCESS_TEXTS,
  AccessCut,
  AccessKind,
  AccessReason,
  AccessRecord,
  AccessRequest,
  AccessResponse,
  AccessRing,
} from "../abi/access-log";
import { Errno } from "../abi/errno";
import { publishAccessLog } from "./clock";
import { IoVec } from "./iovec";
import { ToroAllocMem } from "./memory";
import { socketOf } from "./net/socket/table";
import { NO_SOCKET, Socket } from "./net/socket/socket";

let ring: usize = 0;

/** Starts the log. Returns false when there is no memory for it. */
export function accessLogInit(): bool {
  ring = ToroAllocMem(<u32>AccessRing.records + ACCESS_RING_BYTES);
  publishAccessLog(ring);
  return ring != 0;
}

/** Are requests noted? If not, an application need not describe them. Does not yield. */
export function isLogged(): bool {
  return ring != 0;
}

/** A request and the head of its answer, as SysLogRequest takes it. */
@unmanaged
export class LoggedRequest {
  startNs: u64; // nowNs() when the head was complete
  count: u32; // of requests on this connection, with this one
  status: u32;
  minor: u32; // of HTTP/1.minor
  texts: usize; // IoVec[7]: method, target, referer, agent, authority, id, forwarded
}

/**
 * Notes a request whose answer is about to be sent; one of a connection at a time. Texts are
 * copied, and cut off where they are long; of no bytes: there is none. A host that only counts is
 * given the method alone. Does not yield. Returns 0, -EBADF, or -ENOBUFS if there was no room,
 * which is counted.
 */
export function SysLogRequest(socket: i32, request: LoggedRequest): i32 {
  if (ring == 0) return 0;
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const wanted: u32 = load<u32>(ring, AccessRing.texts) == 0 ? 1 : ACCESS_TEXTS;
  let bytes: u32 = AccessRequest.texts;
  for (let i: u32 = 0; i < wanted; i++) bytes += textBytes(request.texts, i);
  const record = begin(AccessKind.Request, s, bytes);
  if (record == 0) return -Errno.ENOBUFS;
  store<u64>(record, request.startNs, AccessRequest.startNs);
  store<u32>(record, request.count, AccessRequest.count);
  store<u16>(record, <u16>request.status, AccessRequest.status);
  store<u16>(record, <u16>request.minor, AccessRequest.minor);
  let at = record + <usize>AccessRequest.texts;
  for (let i: u32 = 0; i < ACCESS_TEXTS; i++) {
    const length = i < wanted ? textBytes(request.texts, i) : 0;
    store<u16>(record + (<usize>i << 1), <u16>length, AccessRequest.method);
    if (length == 0) continue;
    memory.copy(at, textAt(request.texts, i).base, length);
    at += length;
  }
  end(record);
  return 0;
}

/**
 * Notes that the response to the connection's last request is over: `bodyBytes` of it were handed
 * over, and `reason` says why it is not complete. Does not yield. Returns as SysLogRequest does.
 */
export function SysLogResponse(socket: i32, bodyBytes: u64, reason: AccessReason): i32 {
  if (ring == 0) return 0;
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const record = begin(AccessKind.Response, s, AccessResponse.sizeof);
  if (record == 0) return -Errno.ENOBUFS;
  store<u64>(record, bodyBytes, AccessResponse.bodyBytes);
  store<u32>(record, reason, AccessResponse.reason);
  end(record);
  return 0;
}

/**
 * Notes that the application gives up a connection, and why. Does not yield. Returns as
 * SysLogRequest does.
 */
export function SysLogCut(socket: i32, reason: AccessReason): i32 {
  if (ring == 0) return 0;
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const record = begin(AccessKind.Cut, s, AccessCut.sizeof);
  if (record == 0) return -Errno.ENOBUFS;
  store<u32>(record, reason, AccessCut.reason);
  end(record);
  return 0;
}

function textAt(texts: usize, i: u32): IoVec {
  return changetype<IoVec>(texts + <usize>i * offsetof<IoVec>());
}

function textBytes(texts: usize, i: u32): u32 {
  return min(textAt(texts, i).length, i == 1 ? ACCESS_TARGET_BYTES_MAX : ACCESS_TEXT_BYTES_MAX);
}

/** From this place on an empty ring begins again: what was used last is in the caches. */
const AGAIN_BYTES: u32 = 16384;

/** Room for a record, which is invisible to the host before end(); 0: there is none. */
function begin(kind: AccessKind, s: Socket, bytes: u32): usize {
  const size = (bytes + 7) & ~7;
  const head = load<u32>(ring, AccessRing.head);
  const used = head - load<u32>(ring, AccessRing.tail);
  const free = ACCESS_RING_BYTES - used;
  const place = head & (ACCESS_RING_BYTES - 1);
  const rest = ACCESS_RING_BYTES - place;
  const isNew = used == 0 && place >= AGAIN_BYTES;
  const skipped = rest < size || isNew ? rest : 0;
  if (free < size + skipped) {
    store<u32>(ring, load<u32>(ring, AccessRing.lost) + 1, AccessRing.lost);
    return 0;
  }
  if (skipped != 0) {
    store<u16>(ring + <usize>place, AccessKind.Skip, AccessRing.records);
    store<u32>(ring, head + skipped, AccessRing.head);
  }
  const record = ring + <usize>AccessRing.records + <usize>(skipped != 0 ? 0 : place);
  store<u16>(record, kind, AccessRecord.kind);
  store<u16>(record, <u16>size, AccessRecord.bytes);
  store<u32>(record, s.remotePort, AccessRecord.hostPort);
  store<u32>(record, s.localPort, AccessRecord.guestPort);
  return record;
}

/** The record is whole. */
function end(record: usize): void {
  const bytes = <u32>load<u16>(record, AccessRecord.bytes);
  store<u32>(ring, load<u32>(ring, AccessRing.head) + bytes, AccessRing.head);
}
