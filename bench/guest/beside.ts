// An echo on port 7 and a sink on port 1234, each with a device of its own if there are two.
import { parameterNumber } from "torito/kernel/commandline";
import { ToroGetAlignedMem } from "torito/kernel/memory";
import { SOCK_STREAM } from "torito/kernel/net/socket/flags";
import {
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
} from "torito/kernel/net/socket/calls";
import { SO_BINDTODEVICE, SysSocketSetOption } from "torito/kernel/net/socket/options";
import { SysSocketRecv } from "torito/kernel/net/socket/receive";
import { SysSocketSend } from "torito/kernel/net/socket/send";
import { BeginThread } from "torito/kernel/thread-calls";

const ECHO_PORT: u32 = 7;
const SINK_PORT: u32 = 1234;
const BACKLOG: i32 = 16;
const BUFFER_BYTES: u32 = 262144;

export function main(): i32 {
  const sinks = listen(SINK_PORT, parameterNumber("device", 0));
  BeginThread(acceptSinks, sinks, 0);
  const echoes = listen(ECHO_PORT, 0);
  while (true) BeginThread(echo, SysSocketAccept(echoes), 0);
}

function listen(port: u32, device: u32): i32 {
  const listener = SysSocket(SOCK_STREAM);
  assert(SysSocketSetOption(listener, SO_BINDTODEVICE, device) == 0, "beside: no such device");
  assert(SysSocketBind(listener, port) == 0, "beside: bind");
  SysSocketListen(listener, BACKLOG);
  return listener;
}

function acceptSinks(listener: usize): void {
  while (true) BeginThread(sink, SysSocketAccept(<i32>listener), 0);
}

function sink(socket: usize): void {
  const buffer = ToroGetAlignedMem(BUFFER_BYTES, 4096);
  while (SysSocketRecv(<i32>socket, buffer, BUFFER_BYTES, 0) > 0);
  SysSocketClose(<i32>socket);
}

function echo(socket: usize): void {
  const buffer = ToroGetAlignedMem(BUFFER_BYTES, 4096);
  while (true) {
    const got = SysSocketRecv(<i32>socket, buffer, BUFFER_BYTES, 0);
    if (got <= 0 || SysSocketSend(<i32>socket, buffer, got, 0) != got) break;
  }
  SysSocketClose(<i32>socket);
}
