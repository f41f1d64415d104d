// The plainest echo that node:net makes: node node-echo.mjs PORT|PATH.
import net from "node:net";

const where = process.argv[2] ?? "";
const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.on("data", (chunk) => void socket.write(chunk));
});
if (/^\d+$/.test(where)) server.listen(Number(where), "127.0.0.1");
else server.listen(where);
