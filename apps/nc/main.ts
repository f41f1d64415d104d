// Netcat: a sink, which counts and hashes what it receives, or a source, which sends bytes. Kernel
// parameters: port=5001 to listen on, or to=10.0.2.2 to connect to that port of another machine;
// bytes= to send (0: it receives), size=65536 of a buffer, count=1 connections, hash=1 for SHA-256;
// net=vsock for vsock, where to= is a CID.
import {
  AF_VSOCK,
  clock,
  Errno,
  kernelParameter,
  parameterIs,
  parameterNumber,
  parameterNumber64,
  print,
  printBytes,
  printNumber,
  SO_LINGER,
  SO_RCVBUF,
  SOCK_STREAM,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketConnect,
  SysSocketListen,
  SysSocketRecv,
  SysSocketSend,
  SysSocketSetOption,
  SysSocketShutdown,
  ToroGetAlignedMem,
} from "torito/kernel/api";
import { parameterAddress } from "torito/kernel/internet";
import { networkFamily, reportListening } from "torito/guest/network";
import { failed } from "torito/guest/server";
import { Sha256 } from "torito/guest/sha256";

const NAME = "nc";
const PORT: u32 = 5001;
const SIZE: u32 = 65536;
const SIZE_MAX: u32 = 16 << 20;
const WINDOW: u32 = 1 << 20;
const PAGE_BYTES: u32 = 4096;
const BACKLOG: i32 = 16;
const SHUTDOWN_SEND: i32 = 1;
/** The peer has this long to take all that was sent, once it has ended its own side. */
const LINGER_MS: u32 = 60_000;

/** More than any parameter. */
const NO_NUMBER: u64 = u64.MAX_VALUE;

let buffer: usize = 0;
let size: u32 = 0;
let wanted: u64 = 0; // bytes to send; 0: it receives
let started: u64 = 0;
const digit: usize = memory.data(1);
const digest = changetype<Sha256>(memory.data(offsetof<Sha256>()));

export function main(): i32 {
  size = min(max<u32>(parameterNumber("size", SIZE), 1), SIZE_MAX);
  buffer = ToroGetAlignedMem(size, PAGE_BYTES);
  if (buffer == 0) return failed(NAME, "memory", -Errno.ENOMEM);
  for (let i: u32 = 0; i < size; i++) store<u8>(buffer + i, <u8>(i * 31));
  wanted = parameterNumber64("bytes", kernelParameter("bytes") == 0 ? 0 : NO_NUMBER);
  if (wanted == NO_NUMBER) return failed(NAME, "bytes=", -Errno.EINVAL);
  const listener = connects() ? 0 : listen();
  if (listener < 0) return failed(NAME, "listen", listener);
  const count = parameterNumber("count", 1);
  for (let i: u32 = 0; i < count; i++) {
    const socket = listener == 0 ? connect() : SysSocketAccept(listener);
    if (socket < 0) return failed(NAME, "connect", socket);
    const moved = transfer(socket);
    SysSocketSetOption(socket, SO_LINGER, LINGER_MS);
    const closed = SysSocketClose(socket);
    if (moved < 0) return failed(NAME, "transfer", <i32>moved);
    if (closed < 0) return failed(NAME, "close", closed);
  }
  return 0;
}

function peer(): u32 {
  return networkFamily() == AF_VSOCK ? parameterNumber("to", 0) : parameterAddress("to");
}

function connects(): bool {
  return peer() != 0;
}

function port(): u32 {
  return parameterNumber("port", PORT);
}

/** Returns a socket, or an error. */
function listen(): i32 {
  const listener = SysSocket(SOCK_STREAM, networkFamily());
  if (listener < 0) return listener;
  SysSocketSetOption(listener, SO_RCVBUF, WINDOW);
  let status = SysSocketBind(listener, port());
  if (status == 0) status = SysSocketListen(listener, BACKLOG);
  if (status < 0) return status;
  reportListening(NAME, port());
  return listener;
}

/** Yields. Returns a socket, or an error. */
function connect(): i32 {
  const socket = SysSocket(SOCK_STREAM, networkFamily());
  if (socket < 0) return socket;
  SysSocketSetOption(socket, SO_RCVBUF, WINDOW);
  const status = SysSocketConnect(socket, peer(), port());
  return status < 0 ? status : socket;
}

/** Yields. Returns the bytes, or an error. */
function transfer(socket: i32): i64 {
  digest.begin();
  started = clock();
  const moved = wanted == 0 ? receive(socket) : send(socket, wanted);
  if (moved >= 0) report(wanted == 0 ? " received" : " sent", moved, clock() - started);
  return moved;
}

function receive(socket: i32): i64 {
  const hashes = parameterIs("hash", "1");
  let done: u64 = 0;
  while (true) {
    const got = SysSocketRecv(socket, buffer, size, 0);
    if (got < 0) return got;
    if (got == 0) return done;
    if (done == 0) started = clock();
    if (hashes) digest.update(buffer, got);
    done += got;
  }
}

/** Sends, and waits until the peer has read it all and closed. */
function send(socket: i32, bytes: u64): i64 {
  const hashes = parameterIs("hash", "1");
  for (let done: u64 = 0; done < bytes; ) {
    const part = <u32>min<u64>(size, bytes - done);
    const sent = SysSocketSend(socket, buffer, part, 0);
    if (sent < 0) return sent;
    if (hashes) digest.update(buffer, sent);
    done += sent;
  }
  SysSocketShutdown(socket, SHUTDOWN_SEND);
  const end = SysSocketRecv(socket, buffer, 1, 0);
  return end < 0 ? end : bytes;
}

function report(what: string, bytes: u64, ns: u64): void {
  print(NAME);
  print(": ");
  printNumber(bytes);
  print(" bytes");
  print(what);
  print(" in ");
  printNumber(ns);
  print(" ns");
  if (parameterIs("hash", "1")) {
    digest.finish();
    print(", SHA-256 ");
    printHex(digest.high);
    printHex(digest.low);
  }
  print("\n");
}

/** The first 16 bytes of a digest, as 16 digits each. */
function printHex(word: u64): void {
  for (let shift: i32 = 60; shift >= 0; shift -= 4) {
    const nibble = <u8>((word >> shift) & 15);
    store<u8>(digit, nibble + (nibble < 10 ? 0x30 : 0x57));
    printBytes(digit, 1);
  }
}
