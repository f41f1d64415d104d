// Receive loans: the application reads packets where the device has put them, and returns each of
// them when it likes. Until then its bytes count against the socket's window, so that credit bounds
// the lent memory.
import { Errno } from "../../../abi/errno";
import { IPPROTO_UDP } from "../../../abi/ip";
import { NetStats } from "../../../abi/stats";
import { HandleTable } from "../../handle";
import { releasePacket } from "../link/interface";
import { Packet, payloadOf } from "../link/packet";
import { putBack, takePart } from "./message";
import { giveCredit, waitForData } from "./receive";
import { hasData, lendPacket, returnPacket } from "./receive-queue";
import { isSeqpacket, NO_SOCKET, packetsOf, Socket, statsOf } from "./socket";
import { tally } from "./stats";
import { socketOf } from "./table";

/** The bytes were copied once, as few, or for want of buffers. */
export const LOAN_COPIED: u32 = 1;
/** SysSocketRecv has read the start of the packet. */
export const LOAN_PARTIAL: u32 = 2;

/** The packet ends a message; and a record. */
export const LOAN_EOM: u32 = 4;
export const LOAN_EOR: u32 = 8;
const LOAN_MARKS_SHIFT: u32 = 2;

/** The most packets that one socket may have lent. */
const LOANS_MAX: u32 = 256;

/** SysSocketRecvLoan writes one for each packet. */
@unmanaged
export class Loan {
  token: u32; // for SysSocketRelease
  address: usize; // of the bytes: at the start of a page, unless COPIED or PARTIAL
  length: u32;
  flags: u32;
}

if (offsetof<Loan>("length") != 8 || offsetof<Loan>() != 16) ERROR("loan: wrong layout");

const loans = changetype<HandleTable>(memory.data(offsetof<HandleTable>()));

/** Packets that all sockets have lent. */
export function loanCount(): u32 {
  return loans.count;
}

/**
 * Lends queued packets, as up to `max` Loans at `list`; waits until there is one. The bytes stay
 * as they are until they are released, whatever becomes of the socket. Yields.
 * Returns the number of loans; 0 at the end of the stream; -ENOBUFS when the socket has lent 256
 * packets already; -EINVAL for max 0; -EOPNOTSUPP (datagrams are copied when they arrive, and may
 * be empty); -ENOMEM; otherwise as SysSocketRecv.
 */
export function SysSocketRecvLoan(socket: i32, list: usize, max: u32, flags: u32): i32 {
  if (max == 0) return -Errno.EINVAL;
  if (isDatagram(socket)) return -Errno.EOPNOTSUPP;
  const ready = waitForData(socket, 1, flags);
  if (ready <= 0) return ready;
  const s = socketOf(socket);
  let lent: u32 = 0;
  let error: i32 = -Errno.ENOBUFS;
  while (lent < max && s.loans < LOANS_MAX && hasData(s)) {
    const packet = isSeqpacket(s) ? takePart(s) : packetsOf(s).pop();
    if (!packet) {
      error = -Errno.ENOMEM;
      break;
    }
    error = lend(s, packet, changetype<Loan>(list + lent * offsetof<Loan>()));
    if (error < 0) {
      putBack(s, packet);
      break;
    }
    lent++;
  }
  return lent == 0 ? error : <i32>lent;
}

function isDatagram(socket: i32): bool {
  const s = socketOf(socket);
  return s != NO_SOCKET && s.protocol == IPPROTO_UDP;
}

function lend(s: Socket, packet: Packet, loan: Loan): i32 {
  const token = loans.add(changetype<usize>(packet));
  if (token < 0) return -Errno.ENOMEM;
  lendPacket(s, packet);
  loan.token = <u32>token;
  loan.address = payloadOf(packet) + packet.offset;
  loan.length = packet.length - packet.offset;
  loan.flags = (packet.received ? 0 : LOAN_COPIED) | (packet.offset == 0 ? 0 : LOAN_PARTIAL);
  loan.flags |= packet.marks << LOAN_MARKS_SHIFT;
  assert(loan.length != 0, "no bytes");
  if (packet.received) tally(statsOf(s), NetStats.loaned, loan.length);
  return token;
}

/**
 * Takes `n` loans of the socket back, in any order; the socket may have been closed since. Returns
 * n, or -EINVAL when a token is not one of its loans or is listed twice: then nothing has changed.
 * Does not yield.
 */
export function SysSocketRelease(socket: i32, tokens: usize, n: u32): i32 {
  let good: u32 = 0;
  while (good < n && claim(load<i32>(tokens + (good << 2)), socket)) good++;
  if (good < n) {
    while (good > 0) unclaim(load<i32>(tokens + (--good << 2)), socket);
    return -Errno.EINVAL;
  }
  const s = socketOf(socket);
  let consumed: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const token = load<i32>(tokens + (i << 2));
    const packet = changetype<Packet>(loans.get(token));
    assert(packet.owner == 0, "given back twice"); // claimed
    loans.remove(token);
    if (s != NO_SOCKET && packet.epoch == s.epoch) {
      consumed += returnPacket(s, packet);
    } else {
      releasePacket(packet);
    }
  }
  if (s != NO_SOCKET && consumed != 0) giveCredit(s, consumed);
  return <i32>n;
}

/** Marks a loan of the socket. Returns false when it is none, or marked already: listed twice. */
function claim(token: i32, socket: i32): bool {
  const packet = changetype<Packet>(loans.get(token));
  if (changetype<usize>(packet) == 0 || packet.owner != socket) return false;
  packet.owner = 0;
  return true;
}

function unclaim(token: i32, socket: i32): void {
  changetype<Packet>(loans.get(token)).owner = socket;
}
