// WebServer: serves a directory of the host, mounted by virtio-fs, to HTTP/1.1 clients over vsock.
// Kernel parameters: port=80 (of vsock), root=site (tag of the directory), idle= and head=
// (time-outs in milliseconds).
import {
  kernelMain,
  kernelParameter,
  parameterBytes,
  parameterNumber,
  SOCK_STREAM,
  SysMount,
} from "../../kernel/api";
import { failed, serveForever } from "../../guest/server";
import { serveConnection, setTimeouts } from "./connection";
import { paceInit } from "./pace";
import { admitClient } from "./room";

export { interrupt, run } from "../../kernel/api";

const NAME = "WebServer";
const BACKLOG: i32 = 1024;
const ROOT_DEFAULT: usize = memory.data<u8>([0x73, 0x69, 0x74, 0x65]); // "site"
const SLASH: usize = memory.data<u8>([0x2f]);

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  setTimeouts(parameterNumber("idle", 15_000), parameterNumber("head", 10_000));
  const tag = kernelParameter("root");
  const mounted = tag == 0
    ? SysMount(ROOT_DEFAULT, 4, SLASH, 1)
    : SysMount(tag, parameterBytes(tag), SLASH, 1);
  if (mounted < 0) return failed(NAME, "mount", mounted);
  const pacing = paceInit();
  if (pacing < 0) return failed(NAME, "thread", pacing);
  const port = parameterNumber("port", 80);
  const ended = serveForever(NAME, SOCK_STREAM, port, BACKLOG, serveConnection, admitClient);
  return failed(NAME, "listen", ended);
}
