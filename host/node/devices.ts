// The devices, on Node: where their options leave it open, they use Node's sockets and files and
// the system's clock.
import { randomFillSync } from "node:crypto";
import { getServers } from "node:dns";
import { networkInterfaces } from "node:os";
import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import * as fs from "../devices/fs.ts";
import * as frames from "../devices/net/capture.ts";
import * as streams from "../devices/net/stream.ts";
import * as user from "../devices/net/user.ts";
import * as capture from "../devices/vsock/rings/capture.ts";
import * as tcp from "../devices/vsock/rings/tcp-capture.ts";
import * as network from "../devices/vsock/routes/switch.ts";
import * as vsock from "../devices/vsock.ts";
import * as memory from "../files/memory-files.ts";
import type { CaptureOptions } from "../pcap.ts";
import type { Clock } from "../ports/clock.ts";
import type { FileChanges, Files } from "../ports/files.ts";
import type { Sockets } from "../ports/sockets.ts";
import { systemClock } from "./clock.ts";
import { hostFiles } from "./files/host-files.ts";
import { SocketDuplex } from "./sockets/duplex.ts";
import { NodeDatagrams } from "./sockets/node-datagrams.ts";
import { NodeSockets } from "./sockets/node-sockets.ts";

/** Options of a vsock device; all are optional. */
export interface VsockOptions extends Omit<vsock.VsockOptions, "sockets"> {
  /** Default: NodeSockets. */
  readonly sockets?: Sockets;
}

/**
 * A virtio-vsock device over Node's sockets: publishes ports of the guest, and connects the guest
 * to the host.
 */
export class VsockDevice extends vsock.VsockDevice {
  /** Throws on a CID that is reserved (V10) or taken, and on mapped ports out of range. */
  constructor(options: VsockOptions = {}) {
    super({ ...options, sockets: options.sockets ?? new NodeSockets() });
  }

  /**
   * As connect(), for code that speaks Node's streams: a Duplex that emits "connect" once the guest
   * has accepted, and takes bytes before. end() ends sending; destroy() resets the connection.
   */
  createConnection(guestPort: number): Duplex {
    return new SocketDuplex((events) => this.dial(guestPort, events), guestPort);
  }
}

/** Options of a file system device. `directory` and `tag` are required. */
export interface FsOptions extends Omit<fs.FsOptions, "files"> {
  /** With FileChanges where the guest may write. Default: hostFiles(). */
  readonly files?: Files | (Files & FileChanges);
}

/** A virtio-fs device that shares a directory of the host with the guest. */
export class FsDevice extends fs.FsDevice {
  /** Throws Error when the tag does not fit or the directory cannot be shared. */
  constructor(options: FsOptions) {
    const { files = hostFiles() } = options;
    // Absolute now: the process may change its working directory later.
    const directory = options.files === undefined ? resolve(options.directory) : options.directory;
    super({ ...options, directory, files });
  }
}

/** A directory in memory, for an FsDevice with `directory: "/"`. */
export class MemoryFiles extends memory.MemoryFiles {
  /**
   * `files` by path, with their contents; text becomes UTF-8. Times are those of `clock`. Throws an
   * Error with a `code`, as Node does.
   */
  constructor(
    files: Readonly<Record<string, string | Uint8Array>> = {},
    options: memory.MemoryFilesOptions & { readonly clock?: Pick<Clock, "realtime"> } = {},
  ) {
    super(options.clock ?? systemClock, files, options);
  }
}

/** Connects guests of one process by CID. Pass it to each of their devices as `switch`. */
export class VsockSwitch extends network.VsockSwitch {
  /** Data between guests arrives by `clock.defer`. */
  constructor(clock: Pick<Clock, "defer"> = systemClock) {
    super(clock);
  }
}

/** Writes every packet of a vsock device in pcap format, for Wireshark. */
export class PacketCapture extends capture.PacketCapture {
  /**
   * `write` is given the file header at once, and one whole record per call from then on. It must
   * copy the bytes before it returns, and must not throw.
   */
  constructor(
    write: (bytes: Uint8Array) => void,
    clock: Clock = systemClock,
    options: CaptureOptions = {},
  ) {
    super(write, clock, options);
  }
}

/** The same in the form of TCP, for tools that follow its streams; messages are left out. */
export class TcpCapture extends tcp.TcpCapture {
  /** As PacketCapture. */
  constructor(
    write: (bytes: Uint8Array) => void,
    clock: Clock = systemClock,
    options: CaptureOptions = {},
  ) {
    super(write, clock, options);
  }
}

/** Writes every frame of a network device in pcap format. */
export class FrameCapture extends frames.FrameCapture {
  /** As PacketCapture; frames have no port. */
  constructor(
    write: (bytes: Uint8Array) => void,
    clock: Clock = systemClock,
    options: Pick<CaptureOptions, "snaplen"> = {},
  ) {
    super(write, clock, options);
  }
}

/** Options of a network at the other end of a byte stream. `address` is required. */
export interface StreamNetworkOptions extends Omit<streams.StreamNetworkOptions, "sockets"> {
  /** Default: NodeSockets. */
  readonly sockets?: Sockets;
}

/** A network at the other end of a byte stream, over AF_UNIX or TCP. */
export class StreamNetwork extends streams.StreamNetwork {
  /**
   * Resolves when the other end is reached, or can reach this one. Rejects with the address and the
   * reason.
   */
  static override open(options: StreamNetworkOptions): Promise<StreamNetwork> {
    return streams.StreamNetwork.open({ sockets: new NodeSockets(), ...options });
  }
}

/** Options of a network that ends the guest's TCP/IP on Node's sockets; all are optional. */
export interface UserNetworkOptions extends Partial<user.UserNetworkOptions> {}

/** ARP, DHCP, DNS, ICMP, UDP and TCP of guests, on sockets of this process. */
export class UserNetwork extends user.UserNetwork {
  /** Throws RangeError on an option that cannot be. */
  constructor(options: UserNetworkOptions = {}) {
    super({
      sockets: new NodeSockets(),
      datagrams: new NodeDatagrams(),
      ownAddresses,
      resolvers: getServers,
      entropy: (into) => void randomFillSync(into),
      ...options,
    });
  }
}

/** IPv4 addresses of this host. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.filter(({ family }) => family === "IPv4").map(({ address }) => address);
}
