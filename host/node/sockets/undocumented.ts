// Everything of Node that is used here and that Node does not document, checked for before use:
//
//   process.binding("tcp_wrap"), ("pipe_wrap"), ("stream_wrap")
//       libuv's handles, below net.Socket; deprecated in the documentation alone (DEP0111), and
//       reachable on Node 20 to 26
//   socket._handle                    the handle of a net.Socket: fd, writeQueueSize
//   server._handle.onconnection       called with each client's handle
//   pipe.writeUtf8String, pipe.pendingHandle
//                                     a handle that is sent to another process, or received
//
// A handle is given what it asks for, or Node aborts the process: hence the list of majors, on each
// of which the tests of the sockets have passed. handle-test.ts tries out the rest at start.
import { readSync, writeSync } from "node:fs";
import type net from "node:net";

/** Majors of Node on which handles have been tried. */
const MAJORS = [20, 22, 24, 26];

/** The result of a read: its next buffer. */
type Reader = (this: Handle) => Uint8Array | undefined;

/** A stream of libuv, as Node wraps it. Calls return 0 or a negative error of libuv. */
export interface Handle {
  /** -1: closed, or none on this platform. */
  readonly fd: number;
  /** Bytes of writes under way that the kernel has not taken. */
  readonly writeQueueSize: number;
  /** Called after each read; how it went is in streamState. */
  onread: Reader;
  /** Where the next read lands. Each call adds a listener that lives as long as the handle. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: Request, bytes: Uint8Array): number;
  writev(request: Request, parts: readonly Uint8Array[], areBuffers: true): number;
  shutdown(request: Request): number;
  /** Both call `closed` as a method of the handle once nothing touches its buffers any more. */
  close(closed?: () => void): void;
  reset?(closed: () => void): number;
  connect(request: Request, host: string, port?: number): number;
  connect6?(request: Request, host: string, port: number): number;
  setNoDelay?(enable: boolean): number;
  setKeepAlive?(enable: boolean, seconds: number): number;
  bind?(host: string, port?: number): number;
  bind6?(host: string, port: number): number;
  listen?(backlog: number): number;
  open?(fd: number): number;
  /** On a pipe between processes: sends the text, and a descriptor with it. */
  writeUtf8String?(request: Request, text: string, sent: Handle): number;
  /** Of such a pipe: the handle that came with what was read. */
  pendingHandle?: Handle | null;
  onconnection?: (status: number, client: Handle | undefined) => void;
  ref(): void;
  unref(): void;
  getsockname?(out: Partial<net.AddressInfo>): number;
  getpeername?(out: Partial<net.AddressInfo>): number;
}

/** A write, shutdown or connect under way. */
export interface Request {
  /** Not called for a write that was done at once. */
  oncomplete?: (status: number) => void;
}

type Make<T, A extends unknown[] = []> = new (...args: A) => T;

interface Binding {
  readonly TCP: Make<Handle, [kind: number]>;
  readonly Pipe: Make<Handle, [kind: number]>;
  /** The kind of a handle that connects. */
  readonly tcpSocket: number;
  readonly pipeSocket: number;
  /** Kinds of handles that listen, and of a pipe that descriptors travel through. */
  readonly tcpServer: number;
  readonly pipeServer: number;
  readonly pipeChannel: number;
  readonly TCPConnectWrap: Make<Request>;
  readonly PipeConnectWrap: Make<Request>;
  readonly WriteWrap: Make<Request>;
  readonly ShutdownWrap: Make<Request>;
  /** Of the last call of a handle: two numbers, at the places that follow. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

interface Constants {
  readonly constants: { readonly SOCKET: number; readonly SERVER: number; readonly IPC: number };
}

let found: Binding | null = null;

/** The bindings. Only after missing() has returned "". */
export function binding(): Binding {
  return found as Binding;
}

/** Why this engine has no handles that can be used, or "". */
export function missing(): string {
  // Windows posts its reads before bytes come, so sockets cannot share a buffer there.
  if (process.platform === "win32") return "Windows reads ahead of its events";
  if (process.versions.bun !== undefined) return "Bun has no handles of libuv";
  if ("deno" in process.versions) return "Deno has handles of its own making";
  if (!MAJORS.includes(Number.parseInt(process.versions.node, 10))) {
    return `they have not been tried on Node ${process.version}`;
  }
  try {
    found ??= bind();
  } catch (error) {
    return (error as Error).message; // of the permission model, for instance
  }
  return lacking(found);
}

/** Node would warn with --pending-deprecation, and end with --throw-deprecation. */
function bind(): Binding {
  const node = process as unknown as {
    noDeprecation?: boolean;
    binding(name: "tcp_wrap"): Pick<Binding, "TCP" | "TCPConnectWrap"> & Constants;
    binding(name: "pipe_wrap"): Pick<Binding, "Pipe" | "PipeConnectWrap"> & Constants;
    binding(name: "stream_wrap"): Binding;
  };
  const wasQuiet = node.noDeprecation;
  node.noDeprecation = true;
  try {
    const tcp = node.binding("tcp_wrap");
    const pipe = node.binding("pipe_wrap");
    return {
      ...node.binding("stream_wrap"),
      TCP: tcp.TCP,
      TCPConnectWrap: tcp.TCPConnectWrap,
      tcpSocket: tcp.constants.SOCKET,
      tcpServer: tcp.constants.SERVER,
      Pipe: pipe.Pipe,
      PipeConnectWrap: pipe.PipeConnectWrap,
      pipeSocket: pipe.constants.SOCKET,
      pipeServer: pipe.constants.SERVER,
      pipeChannel: pipe.constants.IPC,
    };
  } finally {
    node.noDeprecation = wasQuiet;
  }
}

const METHODS = [
  ...["readStart", "readStop", "useUserBuffer", "writeBuffer", "writev", "shutdown", "close"],
  "connect",
];
const TCP_METHODS = [
  ...["reset", "connect6", "setNoDelay", "setKeepAlive", "getsockname", "getpeername"],
];
const MAKERS = ["TCPConnectWrap", "PipeConnectWrap", "WriteWrap", "ShutdownWrap"] as const;
const NUMBERS = ["tcpSocket", "pipeSocket", "kReadBytesOrError", "kLastWriteWasAsync"] as const;

function lacking(bound: Binding): string {
  for (const name of [...METHODS, ...TCP_METHODS]) {
    if (!(name in bound.TCP.prototype)) return `there is no TCP.${name}`;
  }
  for (const name of METHODS) {
    if (!(name in bound.Pipe.prototype)) return `there is no Pipe.${name}`;
  }
  for (const name of MAKERS) {
    if (typeof bound[name] !== "function") return `there is no ${name}`;
  }
  for (const name of NUMBERS) {
    if (typeof bound[name] !== "number") return `there is no ${name}`;
  }
  return bound.streamBaseState instanceof Int32Array ? "" : "there is no streamBaseState";
}

/** Why this engine cannot pass a descriptor on, or "". Only after missing() has returned "". */
export function lacksPassing({ TCP, Pipe, ...numbers }: Binding = binding()): string {
  for (const name of ["bind", "bind6", "listen", "open", "getsockname"]) {
    if (!(name in TCP.prototype)) return `there is no TCP.${name}`;
  }
  for (const name of ["bind", "listen", "open", "writeUtf8String"]) {
    if (!(name in Pipe.prototype)) return `there is no Pipe.${name}`;
  }
  const kinds = [numbers.tcpServer, numbers.pipeServer, numbers.pipeChannel];
  return kinds.every((kind) => typeof kind === "number")
    ? ""
    : "there are no such kinds of handles";
}

/** From now on clients of the server go to `accepted`, and no net.Socket is made for them. */
export function takeClients(
  server: net.Server,
  accepted: (status: number, client: Handle | undefined) => void,
): Handle {
  const { _handle } = server as unknown as { _handle: Handle & { onconnection: unknown } };
  _handle.onconnection = accepted;
  return _handle;
}

/** The handle of a socket; undefined: it has none, or this engine has no handles. */
export function handleOf(socket: net.Socket): Partial<Handle> | undefined {
  return (socket as unknown as { _handle: Handle | null })._handle ?? undefined;
}

/** undefined: none, or not known. */
export function descriptorOf(handle: Partial<Handle> | undefined): number | undefined {
  const fd = handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

const UNREAD = new Uint8Array(1);

/**
 * Why reading ended. null: the peer has ended; else the error that broke the connection. When libuv
 * has filled part of its buffer and the peer is gone, it reports an end without reading again
 * (uv__stream_io), even for a reset. Without access to the descriptor its report is trusted.
 */
export function readError(fd: number | undefined): Error | null {
  if (fd === undefined) return null;
  try {
    readSync(fd, UNREAD);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EAGAIN" ? null : (error as Error);
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Would a write fail, on a socket that has not ended sending? A write of no bytes only checks the
 * connection. undefined: no access to the descriptor.
 */
export function isBroken(fd: number | undefined): boolean | undefined {
  if (fd === undefined) return undefined;
  try {
    writeSync(fd, NOTHING);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EAGAIN";
  }
}
