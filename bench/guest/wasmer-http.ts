// Peer: an HTTP server on WASIX sockets, for bench/peers/wasmer-server.mjs, which writes the port
// and every response to its standard input. Blocking calls, so one connection at a time.

@external("wasix_32v1", "sock_open")
declare function sockOpen(family: i32, type: i32, protocol: i32, fd: usize): i32;
@external("wasix_32v1", "sock_bind")
declare function sockBind(fd: i32, address: usize): i32;
@external("wasix_32v1", "sock_listen")
declare function sockListen(fd: i32, backlog: i32): i32;
@external("wasix_32v1", "sock_accept_v2")
declare function sockAccept(fd: i32, flags: i32, accepted: usize, address: usize): i32;
@external("wasix_32v1", "sock_recv")
declare function sockRecv(
  fd: i32, iovs: usize, count: i32, flags: i32, got: usize, roFlags: usize,
): i32;
@external("wasix_32v1", "sock_send")
declare function sockSend(fd: i32, iovs: usize, count: i32, flags: i32, sent: usize): i32;
@external("wasi_snapshot_preview1", "fd_read")
declare function fdRead(fd: i32, iovs: usize, count: i32, got: usize): i32;
@external("wasi_snapshot_preview1", "fd_close")
declare function fdClose(fd: i32): i32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function procExit(code: i32): void;

const INET4 = 1;
const STREAM = 1;
const TCP = 6;
const REQUEST_MAX: u32 = 65536;

const iovs = memory.data(8, 8);
const result = memory.data(8, 8);
const address = memory.data(128, 8);
const request = memory.data(65536, 8);
/** Entries: [bytes of each: u32] [path] [the response that lets more follow] [the last one]. */
let table: usize = 0;
let tableEnd: usize = 0;

function check(error: i32): void {
  if (error !== 0) procExit(error);
}

/** @returns bytes; 0: the end */
function receive(fd: i32, at: usize, bytes: usize): u32 {
  store<u32>(iovs, <u32>at);
  store<u32>(iovs, <u32>bytes, 4);
  const error = fd === 0
    ? fdRead(fd, iovs, 1, result)
    : sockRecv(fd, iovs, 1, 0, result, result + 4);
  return error === 0 ? load<u32>(result) : 0;
}

function readWhole(at: usize, bytes: usize): void {
  for (let done: usize = 0; done < bytes; ) {
    const got = receive(0, at + done, bytes - done);
    if (got === 0) procExit(1);
    done += got;
  }
}

/** In one piece: the host writes every piece alone, and waits for an acknowledgement between. */
function send(fd: i32, at: usize, bytes: usize): bool {
  for (let done: u32 = 0; done < bytes; done += load<u32>(result)) {
    store<u32>(iovs, <u32>at + done);
    store<u32>(iovs, <u32>bytes - done, 4);
    if (sockSend(fd, iovs, 1, 0, result) !== 0) return false;
  }
  return true;
}

function find(path: usize, bytes: usize): usize {
  let entry = table;
  while (entry < tableEnd) {
    const length = load<u32>(entry);
    if (length === bytes && memory.compare(entry + 12, path, length) === 0) return entry;
    entry += 12 + length + load<u32>(entry, 4) + load<u32>(entry, 8);
  }
  return 0;
}

/** Whether the head says that the connection stays: HTTP/1.1, or HTTP/1.0 with Keep-Alive. */
function stays(end: usize): bool {
  for (let at: usize = request; at + 12 < end; at++) {
    // "Connection: K", "Connection: k" or "Connection: c": no other field ends so.
    if (load<u32>(at) === 0x3a6e6f69) return (load<u8>(at, 5) | 0x20) === 0x6b; // "ion:"
    if (load<u8>(at) === 10 && load<u8>(at, 1) === 13) break;
  }
  let eol: usize = request;
  while (load<u8>(eol) !== 13) eol++;
  return load<u8>(eol - 1) === 0x31;
}

/** @returns whether another request may come on this connection */
function answer(fd: i32, end: usize): bool {
  const path: usize = request + 4; // after "GET "
  let space = path;
  while (space < end && load<u8>(space) !== 0x20) space++;
  const entry = find(path, space - path);
  if (entry === 0) return false;
  const staying = entry + 12 + load<u32>(entry);
  if (stays(end)) return send(fd, staying, load<u32>(entry, 4));
  send(fd, staying + load<u32>(entry, 4), load<u32>(entry, 8));
  return false;
}

function converse(fd: i32): void {
  let length: u32 = 0;
  while (length < REQUEST_MAX) {
    const got = receive(fd, request + length, REQUEST_MAX - length);
    if (got === 0) return;
    length += got;
    if (length < 4 || load<u32>(request + length - 4) !== 0x0a0d0a0d) continue; // an empty line
    if (!answer(fd, request + length)) return;
    length = 0;
  }
}

export function _start(): void {
  readWhole(address, 8);
  const port = load<u32>(address);
  const bytes = load<u32>(address, 4);
  table = heap.alloc(bytes);
  tableEnd = table + bytes;
  readWhole(table, bytes);

  check(sockOpen(INET4, STREAM, TCP, result));
  const listener = load<i32>(result);
  store<u8>(address, INET4);
  store<u16>(address, <u16>port, 2);
  store<u32>(address, 0x0100007f, 4); // 127.0.0.1
  check(sockBind(listener, address));
  check(sockListen(listener, 1024));
  while (true) {
    check(sockAccept(listener, 0, result, address));
    const fd = load<i32>(result);
    converse(fd);
    fdClose(fd);
  }
}
