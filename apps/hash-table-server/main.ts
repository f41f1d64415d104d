// HashTableServer: keys and values over HTTP. GET /key=value stores, GET /key reads, GET /
// shows the number of keys. Kernel parameters: port=80, slots=10000.
import { parameterNumber, SOCK_STREAM } from "torito/kernel/api";
import { failed, serveForever } from "torito/guest/server";
import { serve } from "./connection";
import { tableInit } from "./table";

const NAME = "HashTableServer";
const BACKLOG: i32 = 128;

export function main(): i32 {
  const made = tableInit(parameterNumber("slots", 10_000));
  if (made < 0) return failed(NAME, "table", made);
  const port = parameterNumber("port", 80);
  return failed(NAME, "listen", serveForever(NAME, SOCK_STREAM, port, BACKLOG, serve));
}
