// Which network a server listens on, and a client connects by: kernel parameter `net`, vsock unless
// it is inet. Images with this module have TCP/IP.
import { AF_INET, AF_VSOCK, parameterIs, print, printNumber } from "../kernel/api";
import { useInternet } from "../kernel/internet";

useInternet();

/** AF_VSOCK or AF_INET, for SysSocket. */
export function networkFamily(): i32 {
  return parameterIs("net", "inet") ? AF_INET : AF_VSOCK;
}

/** Reports on the console that `name` listens on a port. */
export function reportListening(name: string, port: u32): void {
  print(name);
  print(networkFamily() == AF_INET ? ": listening on TCP port " : ": listening on vsock port ");
  printNumber(port);
  print("\n");
}
