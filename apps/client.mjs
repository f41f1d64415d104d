// Shared by the clients of the applications: the way to a guest's port from the host.
import { once } from "node:events";
import net from "node:net";

/**
 * A socket to `target`: a TCP port that was published with -p, or the path of --vsock-uds, where
 * `guestPort` is asked for. Rejects when nobody is there.
 */
export async function connect(target, guestPort) {
  const isPort = /^\d+$/.test(target);
  const socket = net.connect(isPort ? { port: Number(target), host: "127.0.0.1" } : target);
  await once(socket, "connect");
  if (isPort) return socket;
  socket.write(`CONNECT ${guestPort}\n`);
  const line = await readLine(socket);
  if (!/^OK \d+$/.test(line)) throw new Error(`${target}: nobody listens on port ${guestPort}`);
  return socket;
}

/** The first line; the bytes after it stay unread. Empty: the socket ended before. */
function readLine(socket) {
  return new Promise((resolve, reject) => {
    let line = "";
    const done = () => {
      socket.off("readable", read).off("end", done).off("error", reject);
      resolve(line);
    };
    const read = () => {
      for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
        if (byte[0] === 10) return done();
        line += byte.toString("latin1");
      }
    };
    socket.on("readable", read).on("end", done).on("error", reject);
  });
}

/** Runs a client; what goes wrong is one line and exit code 1, a wrong command line is 2. */
export async function run(usage, main) {
  try {
    const done = await main(process.argv.slice(2));
    if (done !== false) return;
    process.stderr.write(`usage: ${usage}\n`);
    process.exitCode = 2;
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
