// Bodies of requests, which nobody wants: they are dropped, within bounds, so that the connection
// can go on (HF6). A body of known length is dropped after the answer, and one in chunks before it,
// for its framing may turn out wrong (HF1).
import {
  Errno,
  MSG_DONTWAIT,
  nowNs,
  NS_PER_MS,
  SysSocketPeek,
  SysSocketRecv,
  ToroAllocMem,
  ToroFreeMem,
} from "torito/kernel/api";
import { ChunkScanner } from "torito/guest/http/chunked";
import { parseRequest } from "torito/guest/http/request";
import { discardNow, receiveBy } from "torito/guest/receive";
import { Connection, enter, Phase } from "./connections";
import { closeWork, openWork } from "./hold";
import { inputOf, OUTPUT_BYTES, outputOf, requestOf } from "./work";

/** A longer body ends the connection, and so does one that takes longer. */
export const BODY_BYTES_MAX: u64 = 65536;
const BODY_MS: u64 = 5000;

const peeked: usize = memory.data(16);

/** The body of the request that has begun is to come within its time. */
export function expectBody(c: Connection): void {
  c.bodyUntilNs = nowNs() + BODY_MS * NS_PER_MS;
}

/**
 * Drops the rest of a body of known length, after the answer. Yields. False: it was late, or the
 * client has gone, and the connection has to end.
 */
export function dropRest(c: Connection): bool {
  while (c.bodyLeft != 0) {
    const got = discardNow(c.socket, c.bodyLeft);
    if (got > 0) c.bodyLeft -= got;
    else if (got != -Errno.EAGAIN) return false;
    else if (receiveBy(c.socket, peeked, 1, c.bodyUntilNs, true) <= 0) return false;
  }
  return true;
}

export const enum Dropped {
  Whole,
  Unfinished, // it is long or late
  Malformed,
  NoMemory,
  Gone, // the client, or its connection was cut
}

/**
 * Drops a body in chunks. Its first bytes may follow the head, of `headBytes`, in the input, where
 * only the head stays. Yields, and holds no work while it waits.
 */
export function dropChunks(c: Connection, headBytes: u32): Dropped {
  const scanner = changetype<ChunkScanner>(ToroAllocMem(offsetof<ChunkScanner>()));
  if (changetype<usize>(scanner) == 0) return Dropped.NoMemory;
  scanInput(c, scanner, headBytes);
  let result = stateOf(scanner);
  const waits = result == Dropped.Unfinished;
  if (waits) enter(c, Phase.Head);
  while (result == Dropped.Unfinished && scanner.content <= BODY_BYTES_MAX) {
    if (!closeWork(c)) {
      result = Dropped.NoMemory;
      break;
    }
    const seen = receiveBy(c.socket, peeked, 1, c.bodyUntilNs, true);
    if (!openWork(c)) {
      result = Dropped.NoMemory;
    } else if (seen > 0) {
      scanSocket(c, scanner);
      result = stateOf(scanner);
    } else if (seen == -Errno.EAGAIN) {
      break;
    } else {
      result = seen == 0 ? Dropped.Malformed : Dropped.Gone;
    }
  }
  ToroFreeMem(changetype<usize>(scanner));
  // The work may be another one by now.
  if (waits && result != Dropped.NoMemory) {
    parseRequest(inputOf(c.work), headBytes, requestOf(c.work));
    enter(c, Phase.Answering);
  }
  return result;
}

function stateOf(scanner: ChunkScanner): Dropped {
  if (scanner.isMalformed) return Dropped.Malformed;
  return scanner.isDone ? Dropped.Whole : Dropped.Unfinished;
}

function scanInput(c: Connection, scanner: ChunkScanner, headBytes: u32): void {
  const body = inputOf(c.work) + headBytes;
  const bytes = c.work.used - headBytes;
  const scanned = scanner.scan(body, bytes);
  memory.copy(body, body + scanned, bytes - scanned);
  c.work.used -= scanned;
}

/** Scans what is there, by way of the output, which is not in use yet. */
function scanSocket(c: Connection, scanner: ChunkScanner): void {
  const buffer = outputOf(c.work);
  const seen = SysSocketPeek(c.socket, buffer, OUTPUT_BYTES, MSG_DONTWAIT);
  if (seen > 0) SysSocketRecv(c.socket, buffer, scanner.scan(buffer, seen), MSG_DONTWAIT);
}
