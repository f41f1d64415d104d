// Both ends of a connection in one guest? A vsock address leads to the host, so what can be tested
// here is what needs no peer. See docs/appliance.md for tests on the host, with real clients.
import { Errno, SOCK_STREAM, SysSocket, SysSocketListen } from "torito/kernel/api";

export function test_a_socket_that_is_not_bound_does_not_listen(): void {
  const socket = SysSocket(SOCK_STREAM);
  assert(socket > 0);
  assert(SysSocketListen(socket, 1) == -Errno.EINVAL);
}
