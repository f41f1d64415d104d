// Projects of authors: folders outside this checkout, where torito and the compiler are installed.
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { startWith } from "./command.ts";

const folders: string[] = [];

/** An empty folder. removeProjects() removes all. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "torito-project-"));
  folders.push(folder);
  return folder;
}

export function removeProjects(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** Writes files by name. */
export function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
}

/** As npm does it, but by links. */
export function installInto(folder: string, ...names: string[]): void {
  mkdirSync(join(folder, "node_modules"), { recursive: true });
  for (const name of names) {
    const from = name === "torito" ? resolve(".") : resolve("node_modules", name);
    const link = join(folder, "node_modules", name);
    if (!existsSync(link)) symlinkSync(from, link);
  }
}

/** A project with these files. */
export function project(files: Readonly<Record<string, string>>, name = "project"): string {
  const folder = join(emptyFolder(), name);
  write(folder, { "package.json": "{}", ...files });
  installInto(folder, "torito", "assemblyscript");
  return folder;
}

/** Starts torito in a folder. */
export const torito = (folder: string, ...words: string[]) => startWith({ cwd: folder }, ...words);

/** The body of a response; rejects if the connection is refused or breaks. */
export function fetchText(port: number, path = "/"): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve(text));
      response.on("error", reject);
    }).on("error", reject);
  });
}

/** Sends bytes and resolves with the answer once the peer has ended. */
export function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.end(bytes));
    socket.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}

/** An application that answers every request with `says`, from a file of its own. */
export const answering = (says: string) => ({
  "src/main.ts": `import { failed, serveForever } from "torito/guest";
import { SOCK_STREAM, SysSocketClose, SysSocketRecv, SysSocketSend } from "torito/kernel/api";
import { said } from "./said";

const buffer: usize = memory.data(4096);

export function main(): i32 {
  return failed("answering", "listen", serveForever("answering", SOCK_STREAM, 80, 64, answer));
}

function answer(socket: usize): void {
  SysSocketRecv(<i32>socket, buffer, 4096, 0);
  const body = said();
  const head = "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: ";
  const bytes = String.UTF8.encode(head + body.length.toString() + "\\r\\n\\r\\n" + body);
  SysSocketSend(<i32>socket, changetype<usize>(bytes), bytes.byteLength, 0);
  SysSocketClose(<i32>socket);
}
`,
  "src/said.ts": saying(says),
});

export const saying = (says: string) =>
  `export function said(): string {\n  return ${JSON.stringify(says)};\n}\n`;
