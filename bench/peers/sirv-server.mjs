// Peer: what a Node programmer would use instead. node sirv-server.mjs FOLDER PORT
import http from "node:http";
import sirv from "sirv";

const [, , folder = ".", port] = process.argv;
// Without `dev`, sirv reads the folder once and keeps names, sizes and headers.
const server = http.createServer(sirv(folder, { etag: true }));
server.listen({ host: "127.0.0.1", port: Number(port), backlog: 1024 });
