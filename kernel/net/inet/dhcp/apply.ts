// A lease and the machine: what it changes, and what the console says of it.
import { INADDR_ANY } from "../../../../abi/ip";
import { print, printNumber } from "../../../console";
import { printAddress } from "../address";
import { loseAddress, NAME_SERVERS_MAX, setAddress, setNameServer } from "../local";
import { dropNeighbours } from "../neighbours";
import { Lease, nameServerOf } from "./lease";

/** The machine has what the lease says. */
export function applyLease(lease: Lease): void {
  setAddress(lease.address, lease.mask, lease.router, lease.mtu);
  for (let i: u32 = 0; i < NAME_SERVERS_MAX; i++) {
    setNameServer(i, load<u32>(nameServerOf(lease, i)));
  }
}

/** The machine has no address any more. `why` is a literal that the address completes. */
export function dropLease(lease: Lease, why: string): void {
  print(why);
  printAddress(lease.address);
  print("\n");
  dropNeighbours();
  loseAddress();
}

export function printBound(lease: Lease): void {
  print("net: ");
  printAddress(lease.address);
  print("/");
  printNumber(popcnt(lease.mask));
  print(" by DHCP");
  if (lease.router != INADDR_ANY) {
    print(", gateway ");
    printAddress(lease.router);
  }
  print("\n");
}

export function printDeclined(lease: Lease): void {
  print("net: another machine has the address that DHCP gave us, ");
  printAddress(lease.address);
  print("\n");
}
