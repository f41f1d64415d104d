// Duplicates of descriptors, for threads: whoever closes a number, or the end of the thread that
// has opened it, closes it for the whole process. Node has no dup(2), but the kernel makes a
// duplicate of each descriptor that is sent through a socket of AF_UNIX (SCM_RIGHTS, unix(7)). So
// the process sends them to itself.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { uvError } from "./handle-stream.ts";
import { binding, type Handle, lacksPassing, missing } from "./undocumented.ts";

/** Why there are no duplicates on this engine, or "". */
export function duplicatesFault(): string {
  const fault = missing();
  return fault === "" ? lacksPassing() : fault;
}

/** Of a descriptor that never leaves the process. */
const PATIENCE_MS = 2000;

let channel: Promise<Channel> | null = null;

/**
 * A handle of a duplicate, in this thread. To give its number to another thread, forget the handle
 * without closing it; it then stays in memory, some hundred bytes. One at a time. Rejects if no
 * descriptor is left. Only if duplicatesFault() is "".
 */
export async function duplicate(handle: Handle): Promise<Handle> {
  channel ??= openChannel().catch((error) => {
    channel = null;
    throw error;
  });
  return (await channel).duplicate(handle);
}

function check(status: number, call: string): void {
  if (status < 0) throw uvError(status, call);
}

/** A socket in the file system, or in the abstract namespace of Linux, which needs no directory. */
function place(): { readonly path: string; remove(): void } {
  if (process.platform === "linux") {
    return { path: `\0torito-${randomBytes(16).toString("hex")}`, remove() {} };
  }
  const folder = mkdtempSync(join(tmpdir(), "torito-"));
  return { path: join(folder, "s"), remove: () => rmSync(folder, { recursive: true }) };
}

async function openChannel(): Promise<Channel> {
  const { Pipe, PipeConnectWrap, pipeServer, pipeChannel } = binding();
  const { path, remove } = place();
  const server = new Pipe(pipeServer);
  try {
    check(server.bind?.(path) ?? 0, "bind");
    check(server.listen?.(1) ?? 0, "listen");
    const accepted = new Promise<Handle>((resolve, reject) => {
      server.onconnection = (status, client) => {
        if (client === undefined) reject(uvError(status, "accept"));
        else resolve(client);
      };
    });
    const sender = new Pipe(pipeChannel);
    const request = new PipeConnectWrap();
    const connected = new Promise<void>((resolve, reject) => {
      request.oncomplete = (status) => {
        if (status < 0) reject(uvError(status, "connect"));
        else resolve();
      };
    });
    check(sender.connect(request, path), "connect");
    const [client] = await Promise.all([accepted, connected]);
    // The accepted handle takes no descriptors, so another one reads. It is never read or closed,
    // so that its number has one user.
    const receiver = new Pipe(pipeChannel);
    check(receiver.open?.(client.fd) ?? 0, "open");
    return new Channel(sender, receiver);
  } finally {
    server.close(remove);
  }
}

/** Both ends of a connection of this process with itself. */
class Channel {
  readonly #sender: Handle;
  readonly #receiver: Handle;
  #received: (handle: Handle | null, text: string) => void = () => {};
  #last: Promise<unknown> = Promise.resolve();

  constructor(sender: Handle, receiver: Handle) {
    this.#sender = sender;
    this.#receiver = receiver;
    const { streamBaseState, kReadBytesOrError } = binding();
    receiver.pendingHandle = null;
    // Without a buffer of ours, Node makes one for each read.
    const received = (bytes: ArrayBuffer | undefined) => {
      const handle = receiver.pendingHandle ?? null;
      receiver.pendingHandle = null;
      const length = Math.max(0, streamBaseState[kReadBytesOrError] ?? 0);
      const text = bytes === undefined ? "" : Buffer.from(bytes).toString("latin1", 0, length);
      this.#received(handle, text);
    };
    receiver.onread = received as unknown as Handle["onread"];
    check(receiver.readStart(), "read");
    for (const end of [sender, receiver]) end.unref();
  }

  duplicate(handle: Handle): Promise<Handle> {
    const next = this.#last.then(() => this.#pass(handle));
    this.#last = next.catch(() => {});
    return next;
  }

  /** Others could have connected first: what they send does not have the number of this call. */
  async #pass(handle: Handle): Promise<Handle> {
    const number = randomBytes(16).toString("hex");
    const late = new AbortController();
    this.#receiver.ref();
    const passed = new Promise<Handle>((resolve, reject) => {
      this.#received = (duplicate, text) => {
        if (duplicate !== null && text === number) {
          resolve(duplicate);
          return;
        }
        duplicate?.close(() => {});
        reject(new Error("a descriptor cannot be duplicated: none is left, or another came"));
      };
      const { WriteWrap } = binding();
      const request = new WriteWrap();
      request.oncomplete = (status) => {
        if (status < 0) reject(uvError(status, "write"));
      };
      const status = this.#sender.writeUtf8String?.(request, number, handle) ?? 0;
      if (status < 0) reject(uvError(status, "write"));
    });
    const waited = setTimeout(PATIENCE_MS, null, { signal: late.signal }).then(() => {
      throw new Error("a descriptor cannot be duplicated: it does not come back");
    });
    waited.catch(() => {});
    try {
      return await Promise.race([passed, waited]);
    } finally {
      late.abort();
      this.#receiver.unref();
    }
  }
}
