// nginx and haproxy as witnesses and as proxies, each with a configuration in a fresh folder.
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import net from "node:net";
import { makeFolder, until } from "./appliance.ts";

/** A program that listens on `port`, until stop(). */
export class FrontEnd {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(program: string, args: readonly string[], port: number): Promise<FrontEnd> {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`${program}: ${said}`);
      return await listens(port);
    });
    return new FrontEnd(child, port);
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** nginx; `server` is what stands in its server block. */
export async function startNginx(server: string, upstream = ""): Promise<FrontEnd> {
  const folder = makeFolder();
  const port = await freePort();
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  const text = `
    daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off; ${temp} ${upstream}
      server { listen 127.0.0.1:${port}; ${server} }
    }`;
  writeFileSync(`${folder}/nginx.conf`, text);
  const args = ["-c", `${folder}/nginx.conf`, "-p", folder, "-e", `${folder}/error.log`];
  return await FrontEnd.start("nginx", args, port);
}

/** haproxy in front of those ports, in turn. */
export async function startHaproxy(ports: readonly number[], backend = ""): Promise<FrontEnd> {
  const folder = makeFolder();
  const port = await freePort();
  const servers = ports.map((to, i) => `  server s${i} 127.0.0.1:${to}`);
  const lines = [
    "defaults",
    "  mode http",
    "  timeout connect 5s",
    "  timeout client 5s",
    "  timeout server 5s",
    "frontend front",
    `  bind 127.0.0.1:${port}`,
    "  default_backend back",
    "backend back",
    `  balance roundrobin\n${backend}`,
    ...servers,
    "",
  ];
  writeFileSync(`${folder}/haproxy.cfg`, lines.join("\n"));
  return await FrontEnd.start("haproxy", ["-f", `${folder}/haproxy.cfg`, "-db"], port);
}
