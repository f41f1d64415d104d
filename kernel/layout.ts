// Where the kernel keeps what a host may show: constants that every image exports. By them the host
// reads the kernel's state out of memory (host/inspect). No code of the guest runs for that, so it
// costs nothing while nobody looks.
import { ListNode } from "./list";
import { Slot, HandleTable } from "./handle";
import { Block, FREE, HEADER, heapEnd, heapStart, peakBytes, USED } from "./memory";
import { Tcb, TCB_OFFSET } from "./net/inet/tcp/tcb";
import { INTERFACE_LIST, INTERFACE_SPACE, INTERFACES_MAX } from "./net/link/interface";
import { ADDRESS_WAITERS, CARD_INTERFACE } from "./net/link/places";
import { SOCKET_READERS, SOCKET_WRITERS, Socket } from "./net/socket/socket";
import { BUCKETS, SOCKET_BUCKETS, SOCKET_TABLE } from "./net/socket/table";
import { FuseRequest, REQUEST_TRANSFER, REQUEST_WAITER } from "./fuse/session";
import { Thread, THREAD_JOINERS, THREAD_TABLE, THREAD_TIMER } from "./thread";
import { Timer } from "./timer";
import { CONSOLE_WRITERS } from "./console";
import { BUFFERS_BYTES, BUFFERS_WAITERS } from "./net/socket/zerocopy";

// Tables of handles.
export const layout_threads: usize = THREAD_TABLE;
export const layout_sockets: usize = SOCKET_TABLE;
export const layout_table_slots: usize = offsetof<HandleTable>("slots");
export const layout_table_capacity: usize = offsetof<HandleTable>("capacity");
export const layout_slot_bytes: usize = offsetof<Slot>();
export const layout_slot_object: usize = offsetof<Slot>("object");

// Threads.
export const layout_thread_id: usize = offsetof<Thread>("id");
export const layout_thread_state: usize = offsetof<Thread>("state");
export const layout_thread_entry: usize = offsetof<Thread>("entry");
export const layout_thread_sp: usize = offsetof<Thread>("sp");
export const layout_thread_base: usize = offsetof<Thread>("base");
export const layout_thread_limit: usize = offsetof<Thread>("limit");
export const layout_thread_nodes: usize = offsetof<Thread>("nodes");
export const layout_thread_nodeCount: usize = offsetof<Thread>("nodeCount");
export const layout_thread_timer: usize = THREAD_TIMER;
export const layout_thread_joiners: usize = THREAD_JOINERS;
export const layout_timer_deadlineNs: usize = offsetof<Timer>("deadlineNs");
export const layout_timer_place: usize = offsetof<Timer>("place");
export const layout_node_bytes: usize = offsetof<ListNode>();
export const layout_node_list: usize = offsetof<ListNode>("list");

// Queues that threads wait in. Each is known by the object that it is part of.
export const layout_interfaces: usize = INTERFACE_LIST;
export const layout_interfaces_max: usize = INTERFACES_MAX;
export const layout_card: usize = CARD_INTERFACE;
export const layout_address_waiters: usize = ADDRESS_WAITERS;
export const layout_interface_space: usize = INTERFACE_SPACE;
export const layout_request_transfer: usize = offsetof<FuseRequest>("transfer");
export const layout_request_transferAt: usize = REQUEST_TRANSFER;
export const layout_request_waiter: usize = REQUEST_WAITER;
export const layout_request_opcode: usize = offsetof<FuseRequest>("opcode");

export const layout_console_writers: usize = CONSOLE_WRITERS;
export const layout_buffers_waiters: usize = BUFFERS_WAITERS; // of a send whose buffers are lent
export const layout_buffers_bytes: usize = BUFFERS_BYTES;

// Sockets.
export const layout_buckets: usize = SOCKET_BUCKETS;
export const layout_buckets_count: usize = BUCKETS;
export const layout_socket_nextInBucket: usize = offsetof<Socket>("nextInBucket");
export const layout_socket_readers: usize = SOCKET_READERS;
export const layout_socket_writers: usize = SOCKET_WRITERS;
export const layout_socket_protocol: usize = offsetof<Socket>("protocol");
export const layout_socket_type: usize = offsetof<Socket>("type");
export const layout_socket_handle: usize = offsetof<Socket>("handle");
export const layout_socket_state: usize = offsetof<Socket>("state");
export const layout_socket_localPort: usize = offsetof<Socket>("localPort");
export const layout_socket_remotePort: usize = offsetof<Socket>("remotePort");
export const layout_socket_remoteAddress: usize = offsetof<Socket>("remoteAddress");
export const layout_socket_bufAlloc: usize = offsetof<Socket>("bufAlloc");
export const layout_socket_rxCnt: usize = offsetof<Socket>("rxCnt");
export const layout_socket_fwdCnt: usize = offsetof<Socket>("fwdCnt");
export const layout_socket_txCnt: usize = offsetof<Socket>("txCnt");
export const layout_socket_peerBufAlloc: usize = offsetof<Socket>("peerBufAlloc");
export const layout_socket_peerFwdCnt: usize = offsetof<Socket>("peerFwdCnt");
export const layout_socket_unread: usize = offsetof<Socket>("unread");
export const layout_socket_pinned: usize = offsetof<Socket>("pinned");
export const layout_socket_loans: usize = offsetof<Socket>("loans");
export const layout_socket_backlog: usize = offsetof<Socket>("backlog");
export const layout_socket_pending: usize = offsetof<Socket>("pending");

// State of a TCP connection, from its socket on.
export const layout_tcp_state: usize = TCB_OFFSET + offsetof<Tcb>("state");
export const layout_tcp_una: usize = TCB_OFFSET + offsetof<Tcb>("una");
export const layout_tcp_nxt: usize = TCB_OFFSET + offsetof<Tcb>("nxt");
export const layout_tcp_wnd: usize = TCB_OFFSET + offsetof<Tcb>("wnd");
export const layout_tcp_cwnd: usize = TCB_OFFSET + offsetof<Tcb>("cwnd");
export const layout_tcp_srtt: usize = TCB_OFFSET + offsetof<Tcb>("srtt");
export const layout_tcp_retransmits: usize = TCB_OFFSET + offsetof<Tcb>("retransmits");
export const layout_tcp_halfOpen: usize = TCB_OFFSET + offsetof<Tcb>("halfOpen");

// The heap.
export const layout_block_bytes: usize = HEADER;
export const layout_block_length: usize = offsetof<Block>("length");
export const layout_block_size: usize = offsetof<Block>("size");
export const layout_block_check: usize = offsetof<Block>("check");
export const layout_block_used: u32 = USED;
export const layout_block_free: u32 = FREE;
export {
  heapStart as layout_heap_start,
  heapEnd as layout_heap_end,
  peakBytes as layout_heap_peakBytes,
};
