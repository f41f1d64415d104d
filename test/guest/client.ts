// Servers and clients for the tests of both halves, beside the single calls of sockets.ts.
import { SysCloseFile, SysMount, SysOpenFile, SysReadFile } from "torito/kernel/api";
import { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { MSG_DONTWAIT, SOCK_STREAM } from "torito/kernel/net/socket/flags";
import {
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
} from "torito/kernel/net/socket/calls";
import { SysSocketRecv } from "torito/kernel/net/socket/receive";
import { SysSocketSend } from "torito/kernel/net/socket/send";
import { spanAddress, text } from "torito/kernel/span";
import { thread } from "./harness";

export * from "./sockets";
export { heapBlocks, heapInUse } from "./books";
export { threadCount } from "torito/kernel/thread";

const BUFFER_BYTES: u32 = 65536;

function listen(port: u32): i32 {
  const listener = SysSocket(SOCK_STREAM);
  assert(listener > 0 && SysSocketBind(listener, port) == 0, "client: bind");
  assert(SysSocketListen(listener, 64) == 0, "client: listen");
  return listener;
}

/** Sends back all that comes on `port`, and closes after the end. */
export function serveEcho(port: u32): void {
  thread(acceptEcho, listen(port));
}

function acceptEcho(listener: usize): void {
  for (let s = SysSocketAccept(<i32>listener); s > 0; s = SysSocketAccept(<i32>listener)) {
    thread(echo, s);
  }
}

function echo(socket: usize): void {
  const s = <i32>socket;
  const buffer = ToroGetMem(BUFFER_BYTES);
  let got = SysSocketRecv(s, buffer, BUFFER_BYTES, 0);
  while (got > 0 && SysSocketSend(s, buffer, got, 0) == got) {
    got = SysSocketRecv(s, buffer, BUFFER_BYTES, 0);
  }
  SysSocketClose(s);
  ToroFreeMem(buffer);
}

/** Reads something of whoever connects to `port`, then closes on what follows. */
export function serveRude(port: u32): void {
  thread(acceptRude, listen(port));
}

function acceptRude(listener: usize): void {
  for (let s = SysSocketAccept(<i32>listener); s > 0; s = SysSocketAccept(<i32>listener)) {
    thread(leave, s);
  }
}

function leave(socket: usize): void {
  const buffer = ToroGetMem(BUFFER_BYTES);
  SysSocketRecv(<i32>socket, buffer, BUFFER_BYTES, 0);
  SysSocketSend(<i32>socket, buffer, BUFFER_BYTES, MSG_DONTWAIT);
  SysSocketClose(<i32>socket);
  ToroFreeMem(buffer);
}

let sourceBytes: u32 = 0;

/** Sends `bytes` bytes to everyone who connects to `port`, and closes at once. */
export function serveSource(port: u32, bytes: u32): void {
  sourceBytes = bytes;
  thread(acceptSource, listen(port));
}

function acceptSource(listener: usize): void {
  for (let s = SysSocketAccept(<i32>listener); s > 0; s = SysSocketAccept(<i32>listener)) {
    thread(source, s);
  }
}

/** Byte i of the stream is i * 7 modulo 251. */
function source(socket: usize): void {
  const s = <i32>socket;
  const buffer = ToroGetMem(BUFFER_BYTES);
  let at: u32 = 0;
  while (at < sourceBytes) {
    const bytes = min(BUFFER_BYTES, sourceBytes - at);
    for (let i: u32 = 0; i < bytes; i++) store<u8>(buffer + i, <u8>(((at + i) * 7) % 251));
    if (SysSocketSend(s, buffer, bytes, 0) != bytes) break;
    at += bytes;
  }
  SysSocketClose(s);
  ToroFreeMem(buffer);
}

const TAG = spanAddress(text("site"));
const ROOT = spanAddress(text("/"));
const FILE = spanAddress(text("/f"));

// Bytes of the file "/f" of the share "site" that were read, or a negative error; -1: not yet.
let fileBytes: i32 = -1;
export function fileResult(): i32 {
  return fileBytes;
}

/** Reads the file into `buffer`, in pieces of `piece` bytes at most. */
export function readFile(buffer: usize, room: u32, piece: u32): void {
  fileBuffer = buffer;
  fileRoom = room;
  filePiece = piece;
  fileBytes = -1;
  thread(readAll, 0);
}
let fileBuffer: usize = 0;
let fileRoom: u32 = 0;
let filePiece: u32 = 0;

function readAll(_: usize): void {
  SysMount(TAG, 4, ROOT, 1); // a second time it is busy
  const file = SysOpenFile(FILE, 2, 0);
  if (file < 0) {
    fileBytes = file;
    return;
  }
  let at: u32 = 0;
  let got: i32 = 1;
  while (got > 0 && at < fileRoom) {
    got = SysReadFile(file, fileBuffer + at, min(filePiece, fileRoom - at));
    if (got > 0) at += got;
  }
  SysCloseFile(file);
  fileBytes = got < 0 ? got : <i32>at;
}
