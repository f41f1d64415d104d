// A client of the hash table: sets a key, asks for one, or asks how many there are. Keys and values
// travel percent-encoded, and are stored as they travel.
import { connect, run } from "../client.mjs";

const USAGE = "node apps/hash-table-server/client.mjs PORT|PATH [KEY [VALUE]]";

/** The server's answer to GET of `path`; throws unless it is a success. */
async function ask(socket, path) {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: table\r\nConnection: close\r\n\r\n`);
  let answer = "";
  for await (const chunk of socket) answer += chunk.toString("latin1");
  const [head, body = ""] = answer.split(/\r\n\r\n(.*)/s);
  if (!/^HTTP\/1\.1 200 /.test(head)) throw new Error(body.trim() || "no answer");
  return body;
}

run(USAGE, async ([target, key, value]) => {
  if (target === undefined) return false;
  const path = [key, value].filter((one) => one !== undefined).map(encodeURIComponent);
  const socket = await connect(target, 80);
  const body = await ask(socket, `/${path.join("=")}`);
  const count = /Keys: (\d+)/.exec(body)?.[1];
  const isValue = key !== undefined && value === undefined;
  process.stdout.write(`${isValue ? decodeURIComponent(body) : (count ?? body.trim())}\n`);
});
