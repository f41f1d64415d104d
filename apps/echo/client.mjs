// A client of the echo: sends standard input, prints what comes back. With --messages each line is
// a message, after its length, as host/devices/vsock/connection/framing.ts has it.
import { createInterface } from "node:readline";
import { connect, run } from "../client.mjs";

const USAGE = "node apps/echo/client.mjs PORT|PATH [--messages]";

function frame(message) {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(message.length);
  return Buffer.concat([head, message]);
}

/** Prints each message on a line of its own. */
async function printMessages(socket) {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4) {
      const end = 4 + (rest.readUInt32LE() & 0x7fffffff);
      if (rest.length < end) break;
      process.stdout.write(`${rest.toString("utf8", 4, end)}\n`);
      rest = rest.subarray(end);
    }
  }
}

async function print(socket) {
  for await (const chunk of socket) process.stdout.write(chunk);
}

run(USAGE, async ([target, option]) => {
  if (target === undefined || (option !== undefined && option !== "--messages")) return false;
  const socket = await connect(target, 7);
  if (option === undefined) {
    process.stdin.pipe(socket);
    return print(socket);
  }
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => line !== "" && socket.write(frame(Buffer.from(line))));
  lines.on("close", () => socket.end());
  return printMessages(socket);
});
