// Echo: sends received data back, with a thread per connection. Data is borrowed where the device
// has put it and sent from there, so that large packets are not copied. Kernel parameters: port=7,
// type=seqpacket for messages.
import {
  parameterIs,
  parameterNumber,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "torito/kernel/api";
import { failed, serveForever } from "torito/guest/server";
import { serve } from "./connection";
import { serveMessages } from "./messages";

const NAME = "echo";
const BACKLOG: i32 = 128;

export function main(): i32 {
  const port = parameterNumber("port", 7);
  const status = parameterIs("type", "seqpacket")
    ? serveForever(NAME, SOCK_SEQPACKET, port, BACKLOG, serveMessages)
    : serveForever(NAME, SOCK_STREAM, port, BACKLOG, serve);
  return failed(NAME, "listen", status);
}
