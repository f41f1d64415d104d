// Waiting for the machine's address.
import { Errno } from "../../../abi/errno";
import { INADDR_ANY } from "../../../abi/ip";
import { deadlineAfterMs } from "../../clock";
import { wait } from "../../scheduler";
import { addressWaiters, isExpected, localCard, NO_CARD, ownAddress } from "./local";

/**
 * Waits until the machine has an address, at most until `deadlineNs`. Yields, unless it has one.
 * Returns 0, -ENETDOWN (no card), -EADDRNOTAVAIL (none will come: net.address is not valid),
 * -ETIMEDOUT, or -EINTR as wait().
 */
export function awaitAddress(deadlineNs: u64): i32 {
  while (ownAddress() == INADDR_ANY) {
    if (localCard() == NO_CARD) return -Errno.ENETDOWN;
    if (!isExpected()) return -Errno.EADDRNOTAVAIL;
    const error = wait(addressWaiters(), deadlineNs);
    if (error < 0 && ownAddress() == INADDR_ANY) return error;
  }
  return 0;
}

/**
 * Waits until the machine has an address, which DHCP may have to find first; timeoutMs < 0 waits
 * for ever. Yields, unless it has one. Returns 0, -ENETDOWN (no card), -EADDRNOTAVAIL (none will
 * come: net.address is not valid) or -ETIMEDOUT.
 */
export function SysWaitForAddress(timeoutMs: i32): i32 {
  return awaitAddress(deadlineAfterMs(timeoutMs));
}
