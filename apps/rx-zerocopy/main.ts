// Bulk transfer with one client, timed by the guest. Kernel parameters: mode=rx|tx, mb= to
// send in 10^6 bytes, rx= and tx= pages per call, zerocopy=1 to receive by loans, zerocopy=area by
// the receive area of the vsock RFC, port= to listen on, runs= clients to serve, one by one, or
// connections= clients to receive from at the same time, with slow= ms of pauses in the first one.
import {
  areaAdviseDontNeed,
  AreaEntry,
  areaMap,
  areaReceive,
  areaUnmap,
  clock,
  Errno,
  MSG_DONTWAIT,
  parameterIs,
  parameterNumber,
  print,
  printNumber,
  Sleep,
  SO_RCVBUF,
  SO_RCVLOAN,
  SOCK_STREAM,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketSend,
  SysSocketSetOption,
  SysSocketShutdown,
  ToroGetAlignedMem,
} from "torito/kernel/api";
import { networkFamily, reportListening } from "torito/guest/network";
import { failed } from "torito/guest/server";
import { begin, borrow, noteFirst, receive, started } from "./receive";
import { serveTogether } from "./together";

const NAME = "rx-zerocopy";
const PAGE_BYTES: u32 = 4096;
const PAGES_MAX: u32 = 4096;
const WINDOW_LEAST: u32 = 262144;
/** An area holds at least one packet of any size. */
const PACKET_BYTES_MAX: u32 = 65536;
const SHUTDOWN_SEND: i32 = 1;
/** A client that only probes the port has gone by then. */
const PROBE_MS: u32 = 5;

const peeked: usize = memory.data(1);

export function main(): i32 {
  const sends = parameterIs("mode", "tx");
  const bytes = <u64>parameterNumber("mb", 1000) * 1_000_000;
  const pages = parameterNumber(sends ? "tx" : "rx", 64);
  const step = min(max<u32>(pages, 1), PAGES_MAX) * PAGE_BYTES;
  const listener = listen(parameterNumber("port", 1234), step);
  if (listener < 0) return failed(NAME, "listen", listener);
  const together = parameterNumber("connections", 0);
  if (together != 0) return serveTogether(listener, together, step, lends());
  const buffer = ToroGetAlignedMem(step, PAGE_BYTES);
  if (buffer == 0) return failed(NAME, "memory", -Errno.ENOMEM);
  for (let run = parameterNumber("runs", 1); run > 0; run--) {
    const socket = accept(listener);
    if (socket < 0) return failed(NAME, "accept", socket);
    begin();
    const moved: i64 = sends
      ? send(socket, buffer, step, bytes)
      : parameterIs("zerocopy", "area")
        ? map(socket, step)
        : lends() ? borrow(socket, step, 0) : receive(socket, buffer, step, 0);
    const ns = clock() - started();
    SysSocketClose(socket);
    if (moved < 0) return failed(NAME, "transfer", <i32>moved);
    report(moved, ns);
  }
  return 0;
}

function report(bytes: u64, ns: u64): void {
  print("rx-zerocopy: ");
  printNumber(bytes);
  print(" bytes, ");
  printNumber(ns);
  print(" ns\n");
}

function lends(): bool {
  return parameterIs("zerocopy", "1") || parameterIs("zerocopy", "area");
}

/** Returns a listener, or an error. */
function listen(port: u32, step: u32): i32 {
  const listener = SysSocket(SOCK_STREAM, networkFamily());
  if (listener < 0) return listener;
  SysSocketSetOption(listener, SO_RCVBUF, max(step, WINDOW_LEAST));
  SysSocketSetOption(listener, SO_RCVLOAN, lends() ? 1 : 0);
  let status = SysSocketBind(listener, port);
  if (status == 0) status = SysSocketListen(listener, 1);
  if (status < 0) return status;
  reportListening(NAME, port);
  return listener;
}

/** Waits for a client that stays. Yields. Returns its socket, or an error. */
function accept(listener: i32): i32 {
  while (true) {
    const socket = SysSocketAccept(listener);
    if (socket < 0) return socket;
    Sleep(PROBE_MS);
    if (SysSocketPeek(socket, peeked, 1, MSG_DONTWAIT) != 0) return socket;
    SysSocketClose(socket);
  }
}

/** Receives through an area of `step` bytes, to the end. Yields. Returns as receive(). */
function map(socket: i32, step: u32): i64 {
  const area = areaMap(max(step, PACKET_BYTES_MAX) / PAGE_BYTES);
  if (area == 0) return -Errno.ENOMEM;
  let done: u64 = 0;
  while (true) {
    const n = areaReceive(socket, area, 8);
    if (n < 0) return n;
    if (n == 0) break;
    noteFirst();
    for (let entry = area; ; entry += offsetof<AreaEntry>()) {
      const length = changetype<AreaEntry>(entry).length;
      if (length == 0) break;
      done += length;
    }
    areaAdviseDontNeed(area);
  }
  areaUnmap(area);
  return done;
}

/** Sends from one buffer, and waits until the client has read it all. Yields. */
function send(socket: i32, buffer: usize, step: u32, bytes: u64): i64 {
  for (let i: u32 = 0; i < step; i++) store<u8>(buffer + i, <u8>(i * 31));
  noteFirst();
  for (let done: u64 = 0; done < bytes; ) {
    const sent = SysSocketSend(socket, buffer, <u32>min<u64>(step, bytes - done), 0);
    if (sent < 0) return sent;
    done += sent;
  }
  SysSocketShutdown(socket, SHUTDOWN_SEND);
  const end = SysSocketRecv(socket, buffer, 1, 0);
  return end < 0 ? end : bytes;
}
