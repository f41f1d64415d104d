// A service of replicas, as its users start it, and clients that know which replica serves them.
import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { startWith } from "./command.ts";

export interface Client {
  readonly socket: Socket;
  /** Its own, of 127.0.0.0/8, by which the service lists it. */
  readonly address: string;
  /** Sends it, and resolves with what comes next; "": the connection has ended. */
  say(text: string): Promise<string>;
}

let clients = 0;

export async function clientOf(port: number): Promise<Client> {
  const number = ++clients;
  const address = `127.1.${number >> 8}.${number & 255}`;
  const socket = connect({ port, host: "127.0.0.1", localAddress: address });
  socket.setEncoding("latin1").on("error", () => {});
  await once(socket, "connect");
  const say = (text: string) =>
    new Promise<string>((resolve) => {
      const heard = (part = "") => {
        socket.off("data", heard).off("close", closed);
        resolve(part);
      };
      const closed = () => heard();
      socket.on("data", heard).on("close", closed);
      if (socket.destroyed) resolve("");
      else socket.write(text);
    });
  return { socket, address, say };
}

/** Starts it with an admin listener, and waits until all replicas serve. */
export async function startReplicas(replicas: number, ...words: string[]) {
  const shape = ["-p", "0:80", "--admin", "0", "--replicas", `${replicas}`];
  const torito = startWith({}, ...words, ...shape);
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const [, ready] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  const port = Number(ready);
  const ask = (path: string, method = "GET", body = "") =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = { "content-type": "application/json" };
      const sent = request(`${admin}${path}`, { method, headers }, async (response) => {
        let text = "";
        for await (const part of response.setEncoding("utf8")) text += part;
        resolve({ status: response.statusCode ?? 0, text });
      });
      sent.on("error", reject);
      sent.end(body);
    });
  const metric = async (name: string): Promise<number> => {
    const { text } = await ask("/metrics");
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1));
  };
  const serving = async (wanted = replicas) => {
    while ((await metric('torito_replicas{state="ready"}')) !== wanted) await setTimeout(20);
  };
  /** Addresses of clients with the number of the replica that serves each. */
  const places = async (): Promise<Map<string, number>> => {
    const { connections } = JSON.parse((await ask("/connections")).text);
    const listed = connections as { address: string; replica: number }[];
    return new Map(listed.map(({ address, replica }) => [address, replica]));
  };
  /** A client of each replica, which has been answered once. */
  const oneOfEach = async (hello: string): Promise<Client[]> => {
    const found = new Map<number, Client>();
    while (found.size < replicas) {
      const client = await clientOf(port);
      await client.say(hello);
      const number = (await places()).get(client.address) as number;
      if (found.has(number)) client.socket.destroy();
      else found.set(number, client);
    }
    return [...found].sort(([a], [b]) => a - b).map(([, client]) => client);
  };
  await serving();
  return { ...torito, admin: admin as string, port, ask, metric, serving, places, oneOfEach };
}
