// The host's end of ping-pong: sends back what comes, to every guest that connects. Messages need
// no other one, because they return with the lengths that they came with.
import { once } from "node:events";
import net from "node:net";
import { run } from "../client.mjs";

run("node apps/ping-pong/peer.mjs PORT|PATH", async ([address]) => {
  if (address === undefined) return false;
  const server = net.createServer((socket) => {
    socket.setNoDelay(true).on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(/^\d+$/.test(address) ? { port: Number(address), host: "127.0.0.1" } : address);
  await once(server, "listening");
  const bound = server.address();
  process.stdout.write(`listening on ${typeof bound === "string" ? bound : bound.port}\n`);
});
