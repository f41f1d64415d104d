// An API for test/library/serve.test.ts.
import {
  Bytes,
  JsonWriter,
  Request,
  Response,
  Router,
  scope,
  serve,
  ServeOptions,
  Sleep,
} from "torito/guest";
import { arenaBytes, parameterNumber, ToroFreeMem, ToroGetMem } from "torito/kernel/api";

// For bodies in scopes of their handler; tests send one request of the kind at a time.
let streaming: Response | null = null;
let reading: Request | null = null;
let total = 0;

function writeLine(i: usize): void {
  const response = streaming;
  if (response) response.write(Bytes.from(`${i},`));
}

/** Adds to `total`, or at the end makes it negative. */
function readPart(_: usize): void {
  const buffer = new Uint8Array(100);
  const request = reading;
  const got = request ? request.readInto(buffer.dataStart, 100) : 0;
  total = got > 0 ? total + got : -total - 1;
}

const router = new Router()
  .on("GET", "/", (request: Request, response: Response): void => {
    response.header("X-Method", request.method).text("hello\n");
  })
  .on("GET", "/greet/:name/:tail", (request: Request, response: Response): void => {
    const query = request.queryValue("q");
    const json = new JsonWriter().begin();
    json.key("name").string(request.param("name")).key("tail").string(request.param("tail"));
    json.key("path").string(request.path).key("query").string(request.query);
    if (query) json.key("q").string(query);
    response.json(json.end());
  })
  .on("POST", "/echo", (request: Request, response: Response): void => {
    response.header("X-Type", request.header("content-TYPE") || "none").bytes(request.body());
  })
  .on("POST", "/json", (request: Request, response: Response): void => {
    const json = request.json();
    if (json.isMissing) {
      response.status = 400;
      response.text(`${json.error} at ${json.errorAt}\n`);
      return;
    }
    response.text(json.get("user").get("name").string("nobody"));
  })
  .on("POST", "/count", (request: Request, response: Response): void => {
    const buffer = ToroGetMem(1000);
    let total = 0;
    let got = 1;
    while (got > 0) {
      got = request.readInto(buffer, 1000);
      if (got > 0) total += got;
    }
    ToroFreeMem(buffer);
    response.text(`${total} ${got}`);
  })
  .on("POST", "/ignore", (request: Request, response: Response): void => {
    response.text("ignored");
  })
  .on("GET", "/status/:code", (request: Request, response: Response): void => {
    response.status = <i32>parseInt(request.param("code"));
    response.text("body");
  })
  .on("GET", "/stream/:count", (request: Request, response: Response): void => {
    const count = <i32>parseInt(request.param("count"));
    response.header("Content-Type", "text/plain").begin();
    for (let i = 0; i < count; i++) {
      if (response.write(Bytes.from(`line ${i}\n`)) < 0) return;
      if (i % 10 == 9) Sleep(1);
    }
    response.end();
  })
  .on("GET", "/scopes/:count", (request: Request, response: Response): void => {
    const count = <usize>parseInt(request.param("count"));
    response.begin();
    streaming = response;
    for (let i: usize = 0; i < count; i++) scope(writeLine, i);
    streaming = null;
  })
  .on("POST", "/scopes", (request: Request, response: Response): void => {
    reading = request;
    total = 0;
    while (total >= 0) scope(readPart);
    reading = null;
    response.text((-total - 1).toString());
  })
  .on("GET", "/throw", (request: Request, response: Response): void => {
    response.text("lost");
    const few = [1, 2, 3];
    few[few.length].toString();
  })
  .on("GET", "/throw/late", (request: Request, response: Response): void => {
    response.begin();
    response.write(Bytes.from("some"));
    assert(false, "too late");
  })
  .on("GET", "/grow", (request: Request, response: Response): void => {
    let s = "x";
    while (true) s += s;
  })
  .on("GET", "/header", (request: Request, response: Response): void => {
    const name = request.queryValue("name");
    const value = request.queryValue("value");
    response.header(name || "X-Name", value || "").text("set");
  })
  .on("GET", "/held", (request: Request, response: Response): void => {
    response.text(arenaBytes().toString());
  })
  .on("GET", "/files/*", (request: Request, response: Response): void => {
    response.text(request.path);
  })
  .on("PUT", "/files/*", (request: Request, response: Response): void => {
    response.status = 201;
  });

export function main(): i32 {
  const options = new ServeOptions();
  options.name = "api";
  options.bodyBytesMax = parameterNumber("body", 1 << 20);
  options.connectionsMax = parameterNumber("connections", 1024);
  options.headMs = parameterNumber("head", 10_000);
  options.bodyMs = parameterNumber("late", 30_000);
  return serve(80, (request: Request, response: Response): void => {
    router.handle(request, response);
  }, options);
}
