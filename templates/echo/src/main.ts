// {{name}}: sends back what it receives. Each connection has a thread, which may simply wait: while
// it does, the others run. Port 7 of the guest is published in package.json.
import { parameterNumber, print } from "torito/guest";
import { failed, serveForever } from "torito/guest/server";
import { SOCK_STREAM } from "torito/kernel/api";
import { echo } from "./echo";

export function main(): i32 {
  const port = parameterNumber("port", 7);
  print(`{{name}}: port ${port}\n`);
  return failed("{{name}}", "listen", serveForever("{{name}}", SOCK_STREAM, port, 128, echo));
}
