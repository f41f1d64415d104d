// A bare server on node:http with all responses ready in memory: node node-server.mjs FOLDER PORT.
// The cost of node:http itself, without looking at files.
import { readdirSync, readFileSync, statSync } from "node:fs";
import http from "node:http";
import { join, relative } from "node:path";

const [, , folder = ".", port = "0"] = process.argv;
const files = new Map();
for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
  const path = join(folder, name);
  if (statSync(path).isFile()) files.set(`/${relative(folder, path)}`, readFileSync(path));
}
http
  .createServer((request, response) => {
    const body = files.get(request.url);
    response.writeHead(body === undefined ? 404 : 200, { "Content-Length": body?.length ?? 0 });
    response.end(body);
  })
  .listen(Number(port), "127.0.0.1");
