// {{name}}: a JSON API over HTTP. GET / tells how many requests there were, GET /hello/NAME greets.
// Everything else about requests is in server.ts; what the API answers is in api.ts.
import { failed, parameterNumber, serveForever } from "torito/guest";
import { SOCK_STREAM } from "torito/kernel/api";
import { serve } from "./server";

export function main(): i32 {
  const port = parameterNumber("port", 80);
  return failed("{{name}}", "listen", serveForever("{{name}}", SOCK_STREAM, port, 128, serve));
}
