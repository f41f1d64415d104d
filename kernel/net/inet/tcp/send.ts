// From the application's bytes to the send queue.
import { Errno } from "../../../../abi/errno";
import { NetStats } from "../../../../abi/stats";
import { creditOf, spendCredit } from "../../socket/credit";
import { UNBOUNDED } from "../../socket/send-buffer";
import { vectorAt } from "../../socket/send-packets";
import { Socket, statsOf } from "../../socket/socket";
import { tally } from "../../socket/stats";
import { UserBuffers } from "../../socket/zerocopy";
import { output } from "./output";
import { areQueuesFull, queueCopy, queueInPlace } from "./send-queue";
import { tcbOf } from "./tcb";

/** Bytes that a connection may have queued without an option that says otherwise. */
const SEND_BUFFER: u32 = 262144;
/** Every connection may queue that much when the queues of all have their share of the memory. */
const SEND_BUFFER_MIN: u32 = 4096;

/**
 * The room of the send queue is the connection's credit: it takes bytes as long as fewer than this
 * are not acknowledged.
 */
export function limitSend(s: Socket): void {
  const most = s.sendBuffer == UNBOUNDED ? SEND_BUFFER : s.sendBuffer;
  s.peerBufAlloc = areQueuesFull() ? min(most, SEND_BUFFER_MIN) : most;
}

/** The send function of the transport. */
export function queueBytes(
  s: Socket,
  source: usize,
  entries: u32,
  offset: u32,
  bytes: u32,
  more: bool,
  buffers: usize,
): i32 {
  limitSend(s);
  const room = min(bytes, creditOf(s)); // others may have taken the memory meanwhile
  if (room == 0) return 0;
  const taken =
    entries == 0
      ? queueOne(s, source + offset, room, buffers)
      : queueVector(s, source, offset, room, buffers);
  if (taken == 0) return -Errno.ENOMEM;
  spendCredit(s, taken);
  tally(statsOf(s), NetStats.sent, taken);
  tcbOf(s).isMore = more && creditOf(s) != 0; // what is full gets no more
  tcbOf(s).isAwaited = buffers != 0 && !more;
  output(s);
  return taken;
}

function queueVector(s: Socket, vector: usize, offset: u32, bytes: u32, buffers: usize): u32 {
  let skip = offset;
  let done: u32 = 0;
  for (let i: u32 = 0; done < bytes; i++) {
    const one = vectorAt(vector, i);
    if (skip >= one.length) {
      skip -= one.length;
      continue;
    }
    const part = min(one.length - skip, bytes - done);
    const taken = queueOne(s, one.base + skip, part, buffers);
    done += taken;
    if (taken < part) break;
    skip = 0;
  }
  return done;
}

/** Queues bytes that lie together. Returns how many; fewer: there is no memory. */
function queueOne(s: Socket, from: usize, bytes: u32, buffers: usize): u32 {
  if (buffers != 0) {
    if (!queueInPlace(s, from, bytes, changetype<UserBuffers>(buffers))) return 0;
    tally(statsOf(s), NetStats.lent, bytes);
    return bytes;
  }
  let done: u32 = 0;
  while (done < bytes) {
    const part = queueCopy(s, from + done, bytes - done);
    if (part == 0) break;
    done += part;
  }
  return done;
}
