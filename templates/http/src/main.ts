// {{name}}: notes over HTTP, as JSON. GET /notes lists them, POST /notes adds one, GET /notes/N
// reads one, DELETE /notes/N removes one. Their handlers are in notes.ts.
import { failed, parameterNumber, Request, Response, Router, serve } from "torito/guest";
import { add, list, read, remove } from "./notes";

const router = new Router()
  .on("GET", "/notes", list)
  .on("POST", "/notes", add)
  .on("GET", "/notes/:id", read)
  .on("DELETE", "/notes/:id", remove);

function handle(request: Request, response: Response): void {
  router.handle(request, response);
}

export function main(): i32 {
  return failed("{{name}}", "listen", serve(parameterNumber("port", 80), handle));
}
