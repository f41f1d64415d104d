// WebServer: serves a directory of the host, mounted by virtio-fs, to HTTP/1.1 clients over vsock.
// Options and rules of the site come from a second device, whose tag is settings, if there is one.
// Kernel parameters: port=80 (of vsock), root=site (tag of the directory), idle= and head=
// (time-outs in milliseconds).
import {
  parameterNumber,
  parameterText,
  SOCK_STREAM,
  spanAddress,
  spanBytes,
  SysMount,
  text,
} from "torito/kernel/api";
import { failed, serveForever } from "torito/guest/server";
import { cacheInit } from "./cache";
import { serveConnection, setTimeouts } from "./connection";
import { paceInit } from "./pace";
import { admitClient } from "./room";
import { siteInit } from "./rules/site";

const NAME = "WebServer";
const BACKLOG: i32 = 1024;
const ROOT = text("/");

export function main(): i32 {
  setTimeouts(parameterNumber("idle", 15_000), parameterNumber("head", 10_000));
  const tag = parameterText("root", text("site"));
  const mounted = SysMount(spanAddress(tag), spanBytes(tag), spanAddress(ROOT), spanBytes(ROOT));
  if (mounted < 0) return failed(NAME, "mount", mounted);
  const settings = siteInit();
  if (settings < 0) return failed(NAME, "settings", settings);
  cacheInit();
  const pacing = paceInit();
  if (pacing < 0) return failed(NAME, "thread", pacing);
  const port = parameterNumber("port", 80);
  const ended = serveForever(NAME, SOCK_STREAM, port, BACKLOG, serveConnection, admitClient);
  return failed(NAME, "listen", ended);
}
