// The network's own rules, without a device: lists, packets, and the states of a socket.
import { VIRTIO_VSOCK_TYPE_STREAM } from "torito/abi/vsock";
import { List, ListNode } from "torito/kernel/list";
import { NO_INTERFACE } from "torito/kernel/net/link/interface";
import { PacketQueue } from "torito/kernel/net/link/packet";
import { AllocatePacket, FreePacket } from "torito/kernel/net/link/pool";
import {
  advertised,
  consume,
  openWindow,
  receiveCreditOf,
  spendReceiveCredit,
} from "torito/kernel/net/socket/credit";
import { createSocket, destroySocket, socketCount } from "torito/kernel/net/socket/life";
import { completionsOf, NO_SOCKET, SocketState, VSOCK } from "torito/kernel/net/socket/socket";
import { enterState } from "torito/kernel/net/socket/state";
import { ephemeralPort, findSocket, hash } from "torito/kernel/net/socket/table";
import {
  closeUserBuffers,
  createUserBuffers,
  freeUserBuffers,
  numberCall,
  takeCompletion,
  UserBuffers,
} from "torito/kernel/net/socket/zerocopy";
import { beginAtomic, schedule, yieldNow } from "torito/kernel/scheduler";
import { thread } from "./harness";

const list = changetype<List>(memory.data(offsetof<List>()));
const a = changetype<ListNode>(memory.data(offsetof<ListNode>()));
const b = changetype<ListNode>(memory.data(offsetof<ListNode>()));
const c = changetype<ListNode>(memory.data(offsetof<ListNode>()));
const queue = changetype<PacketQueue>(memory.data(offsetof<PacketQueue>()));

export function test_a_list_keeps_its_order_wherever_nodes_enter_and_leave(): void {
  list.append(b);
  list.append(c);
  list.insertAfter(null, a);
  assert(list.first == a && a.next == b && b.next == c && c.next == null && list.last == c);
  assert(c.prev == b && b.prev == a && a.prev == null);
  list.remove(b);
  assert(a.next == c && c.prev == a && b.list == null);
  list.insertAfter(a, b);
  list.remove(a);
  list.remove(c);
  assert(list.first == b && list.last == b && b.next == null && b.prev == null);
  list.remove(b);
  assert(list.first == null && list.last == null);
}

export function panics_a_node_in_two_lists(): void {
  list.append(a);
  list.append(a);
}

let completedArg: usize = 0;
let completedBytes: u32 = 0;

function completed(arg: usize, bytes: u32): void {
  completedArg = arg;
  completedBytes = bytes;
}

export function test_a_freed_packet_completes_with_its_length(): void {
  const packet = AllocatePacket(100)!;
  packet.length = 42;
  packet.completion = (completed as (arg: usize, bytes: u32) => void).index;
  packet.completionArg = 7;
  FreePacket(packet);
  assert(completedArg == 7 && completedBytes == 42);
}

export function panics_a_packet_that_is_freed_in_a_queue(): void {
  const packet = AllocatePacket(0)!;
  queue.push(packet);
  queue.push(AllocatePacket(0)!);
  FreePacket(packet);
}

export function panics_a_yield_in_an_atomic_call(): void {
  thread((_: usize): void => {
    beginAtomic();
    yieldNow();
  });
  schedule(1);
}

export function test_a_socket_goes_from_state_to_state(): void {
  const s = createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM);
  enterState(s, SocketState.Bound);
  assert(openWindow(s));
  enterState(s, SocketState.Connecting);
  enterState(s, SocketState.Connected);
  enterState(s, SocketState.Disconnected);
  enterState(s, SocketState.Created);
  destroySocket(s);
  assert(socketCount() == 0);
}

export function panics_a_step_that_no_socket_takes(): void {
  enterState(createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM), SocketState.Listening);
}

export function panics_a_connection_without_a_window(): void {
  enterState(createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM), SocketState.Connecting);
}

export function test_credit_counts_on_where_its_counters_wrap(): void {
  const s = createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM);
  s.rxCnt = s.fwdCnt = s.lastFwdCnt = 0xffff_fff0;
  assert(openWindow(s));
  const window = s.bufAlloc;
  assert(spendReceiveCredit(s, window) && s.rxCnt == window - 16);
  assert(receiveCreditOf(s) == 0 && !spendReceiveCredit(s, 1));
  assert(consume(s, window) && receiveCreditOf(s) >= window);
  advertised(s);
  assert(s.lastFwdCnt == s.rxCnt);
  destroySocket(s);
}

export function panics_more_consumed_than_received(): void {
  const s = createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM);
  openWindow(s);
  spendReceiveCredit(s, 10);
  consume(s, 11);
}

export function test_a_port_in_use_is_not_given_out(): void {
  const s = createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM);
  s.localPort = ephemeralPort(VSOCK, NO_INTERFACE, 0, 0, 0);
  hash(s);
  assert(findSocket(VSOCK, NO_INTERFACE, s.localPort, 0, 0) == s);
  for (let i = 0; i < 0x4000; i++) {
    assert(ephemeralPort(VSOCK, NO_INTERFACE, 0, 0, 0) != s.localPort);
  }
  const port = s.localPort;
  destroySocket(s);
  assert(findSocket(VSOCK, NO_INTERFACE, port, 0, 0) == NO_SOCKET);
}

export function test_finished_sends_are_one_range_whatever_their_order(): void {
  const s = createSocket(VSOCK, VIRTIO_VSOCK_TYPE_STREAM);
  const calls = memory.data(5 * 4);
  s.nextCompletion = 0xffff_fffe; // the numbers wrap
  for (let i = 0; i < 5; i++) {
    const call = createUserBuffers(true, false)!;
    numberCall(s, call);
    store<u32>(calls + (i << 2), <u32>changetype<usize>(call));
  }
  finish(calls, 3);
  finish(calls, 0);
  finish(calls, 4);
  finish(calls, 1);
  assert(s.completionCount == 3); // 0 and 1, 3 and 4, and 2 is in flight
  finish(calls, 2);
  assert(s.completionCount == 1);
  const range = takeCompletion(s)!;
  assert(range.first == 0xffff_fffe && range.last == 2 && completionsOf(s).first == null);
  freeUserBuffers(range);
  destroySocket(s);
}

function finish(calls: usize, i: u32): void {
  closeUserBuffers(changetype<UserBuffers>(<usize>load<u32>(calls + (i << 2))));
}
