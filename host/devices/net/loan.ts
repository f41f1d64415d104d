// A buffer of the guest that a network fills itself: the payload of a frame lies in it before the
// frame is written around it, and nothing is copied (NZ10).
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { IpHdr } from "../../../abi/ip.ts";
import { NetHdr } from "../../../abi/net.ts";
import { TcpHdr } from "../../../abi/tcp.ts";
import type { Chain } from "../../chain.ts";
import type { Frame } from "./frame.ts";

/** Whoever has such a buffer. */
export interface Borrower {
  /** It is gone: when this returns, nobody writes to it any more. */
  recalled(): void;
}

/** A lent buffer, until deliver() or giveBack(). */
export interface Loan {
  /** A view of the guest's memory, in one piece. */
  readonly payload: Uint8Array;
  /** Bytes of options that the header of TCP needs, so that it ends where the payload begins. */
  readonly padBytes: number;
  /**
   * A frame whose last part is the front of `payload`, and whose first one is all before it: copied
   * is the first one alone. Its receiver does the work that it leaves.
   */
  deliver(frame: Frame): void;
  /** It holds nothing; the card lends it again, or puts a frame there. */
  giveBack(): void;
}

/** The card's side of loans. */
export interface Lender {
  deliverLent(loan: RxLoan, frame: Frame): void;
  takeBack(loan: RxLoan): void;
}

const HEADERS_BYTES = EthernetHdr.sizeof + IpHdr.sizeof + TcpHdr.sizeof;
const FRONT_BYTES = NetHdr.sizeof + HEADERS_BYTES;
/** Padding of that length is no waste if the payload begins in the next segment by it. */
const PAD_BYTES_MAX = 12;
/** The shortest frame that lendable buffers hold. */
export const LENT_BYTES_MIN = HEADERS_BYTES + 1;

export class RxLoan implements Loan {
  readonly chain: Chain;
  readonly borrower: Borrower;
  readonly payload: Uint8Array;
  readonly padBytes: number;
  readonly #lender: Lender;

  constructor(
    lender: Lender,
    borrower: Borrower,
    chain: Chain,
    { address, bytes, padBytes }: Place,
  ) {
    this.#lender = lender;
    this.borrower = borrower;
    this.chain = chain;
    this.padBytes = padBytes;
    this.payload = chain.memory.u8.subarray(address, address + bytes);
  }

  deliver(frame: Frame): void {
    this.#lender.deliverLent(this, frame);
  }

  giveBack(): void {
    this.#lender.takeBack(this);
  }
}

interface Place {
  readonly address: number;
  readonly bytes: number;
  readonly padBytes: number;
}

/**
 * Where the payload of a segment of TCP goes in a chain: after the headers, or at the beginning of
 * the next segment, if the rest of theirs can be padding. null: there is no room.
 */
export function placeIn({ addresses, lengths, count, readableCount }: Chain): Place | null {
  let at = FRONT_BYTES;
  for (let i = readableCount; i < count; i++) {
    const rest = (lengths[i] as number) - at;
    if (rest <= 0) {
      at = -rest;
      continue;
    }
    if (rest <= PAD_BYTES_MAX && rest % 4 === 0 && i + 1 < count) {
      const bytes = lengths[i + 1] as number;
      return { address: addresses[i + 1] as number, bytes, padBytes: rest };
    }
    return { address: (addresses[i] as number) + at, bytes: rest, padBytes: 0 };
  }
  return null;
}
