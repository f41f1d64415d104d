// Peer: a WebAssembly guest with WASIX sockets in @wasmer/sdk, with all responses in its memory.
// node wasmer-server.mjs FOLDER PORT IMAGE, which is guest/wasmer-http.ts compiled
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";

// Named by a value, so that the project is checked where the package is not installed.
const SDK = "@wasmer/sdk/node";
const { Wasmer } = await import(SDK);

const [, , folder = ".", port = "0", image = ""] = process.argv;

/** Every file of the folder, as the guest reads it. */
function responses() {
  const parts = readdirSync(folder, { recursive: true, encoding: "utf8" }).flatMap((name) => {
    const file = join(folder, name);
    if (!statSync(file).isFile()) return [];
    const body = readFileSync(file);
    const path = Buffer.from(`/${relative(folder, file)}`);
    const [staying, ending] = ["keep-alive", "close"].map((connection) => {
      const fields = `Content-Length: ${body.length}\r\nConnection: ${connection}`;
      return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n`), body]);
    });
    const pieces = [path, staying, ending];
    return [Buffer.from(Uint32Array.from(pieces, (piece) => piece.length).buffer), ...pieces];
  });
  return Buffer.concat(parts);
}

const wasmer = new Wasmer({ cache: false });
const guest = await wasmer.packages.load(readFileSync(image));
const sandbox = await wasmer.sandboxes.create({ packages: [guest], network: { mode: "host" } });
const server = await sandbox.command(guest).spawn({ stdin: "pipe" });
const table = responses();
await server.stdin.write(new Uint8Array(Uint32Array.of(Number(port), table.length).buffer));
await server.stdin.write(table);
const { exitCode } = await server.wait();
throw new Error(`the guest has ended: ${exitCode}`);
