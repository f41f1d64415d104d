// virtio-fs device (virtio 5.11): a FUSE server over one directory of the host. Requests are served
// inside the kick: an answer from the host's caches takes 1-2 us, less than any way of waiting for
// it. What it can do beside reading comes with its parts (parts.ts).

import { Errno } from "../../../abi/errno.ts";
import { FS_QUEUE_HIPRIO, FS_TAG_BYTES_MAX, FsConfig, FuseOpcode } from "../../../abi/fuse.ts";
import { FS_SHM_WINDOW } from "../../../abi/fuse-window.ts";
import { VIRTIO_ID_FS } from "../../../abi/virtio.ts";
import type { DeviceHost, DeviceSnapshots, DeviceTrace, VirtioDevice } from "../../device.ts";
import type { FileChanges, Files } from "../../ports/files.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import type { FsParts } from "./parts.ts";
import { FuseRequest } from "./request.ts";
import type { FsSaving } from "./saving.ts";
import { FuseServer } from "./server.ts";
import { type FsLimits, Share } from "./share.ts";
import type { FsStats } from "./stats.ts";
import type { RequestTeller } from "./trace.ts";

const QUEUE_SIZE_MAX = 256;
const REQUEST_QUEUES = 4;
const REQUEST_QUEUES_MAX = 64;
/** A host that holds up the guest for longer is logged. */
const STALL_LOG_NS = 1_000_000_000;
/** A file that is idle for two sweeps is released, so a deleted one is gone within two seconds. */
const SWEEP_MS = 900;

export interface FsOptions {
  /** Absolute path: the guest sees whatever directory has this name at the time. */
  readonly directory: string;
  /** Name of the file system for the guest: 1 to 36 bytes of UTF-8. */
  readonly tag: string;
  /** Default: true. */
  readonly readOnly?: boolean;
  /** With FileChanges where the guest may write. */
  readonly files: Files | (Files & FileChanges);
  /** How long the guest may cache names and attributes; 0: not at all. */
  readonly attrTimeoutMs?: number;
  /** Request queues (F3), 1 to 64; 4 by default. */
  readonly requestQueues?: number;
  /**
   * Size of the DAX window, the shared memory into which the guest can map files: a multiple of 64
   * KiB. Default 0: none.
   */
  readonly windowBytes?: number;
  /** Descriptors that it may hold. Default: half of those that this process may still open. */
  readonly descriptorsMax?: number;
  readonly limits?: Partial<FsLimits>;
}

export class DirectoryDevice implements VirtioDevice {
  readonly id = VIRTIO_ID_FS;
  readonly name: string;
  readonly identity: string;
  readonly features = 0n;
  readonly queueSizesMax: readonly number[];
  readonly queueNames: readonly string[];
  readonly config: Uint8Array;
  readonly stats: FsStats;
  /** null: its requests are in no trace, and nobody can read them in its rings. */
  teller: RequestTeller | null;
  readonly sharedMemory: readonly number[];
  readonly snapshots?: DeviceSnapshots;
  readonly #share: Share;
  readonly #server: FuseServer;
  readonly #saving: FsSaving | null; // null: it cannot be saved
  /** For the next request. */
  #request: FuseRequest;
  readonly #spare: FuseRequest[] = [];
  #host: DeviceHost | null = null;
  #queues: readonly (VirtQueue | null)[] = [];
  #trace: DeviceTrace | null = null;
  #kicked = false;
  #cancelSweep: (() => void) | null = null;

  /** Throws Error if the tag is invalid, or the directory cannot be shared by these parts. */
  constructor(options: FsOptions, parts: FsParts) {
    this.name = `fs ${options.tag}`;
    this.identity = `tag ${options.tag}`;
    const { tag, requestQueues = REQUEST_QUEUES, windowBytes = 0 } = options;
    this.config = configOf(tag, requestQueues);
    const requests = Array.from({ length: requestQueues }, (_, i) => `request ${i}`);
    this.queueNames = ["hiprio", ...requests];
    this.queueSizesMax = this.queueNames.map(() => QUEUE_SIZE_MAX);
    this.sharedMemory = windowBytes === 0 ? [] : [windowBytes];
    if (windowBytes !== 0 && parts.openWindow === null) throw new Error("fs: it has no window");
    this.#share = openShare(options, this.#now, parts);
    this.#server = new FuseServer(this.#share, parts.operations);
    this.#saving = parts.saving?.(this.#share, this.#server, () => this.#answered()) ?? null;
    if (this.#saving !== null) this.snapshots = this.#saving;
    this.stats = this.#share.stats;
    this.teller = parts.teller;
    this.#request = this.#newRequest();
  }

  describe(_queue: number, head: DataView): string {
    return this.teller?.describe(head) ?? "";
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    this.#trace = host.trace ?? null;
    const base = host.sharedMemory?.[FS_SHM_WINDOW];
    const bytes = this.sharedMemory[FS_SHM_WINDOW];
    if (base !== undefined && bytes !== undefined) {
      this.#share.openWindow(host.memory.bytes(base, bytes));
    }
  }

  activate(queues: readonly (VirtQueue | null)[]): void {
    this.#queues = queues;
    this.#sweepLater();
  }

  notify(queue: number): void {
    const source = this.#queues[queue];
    if (source === null || source === undefined) return;
    if (queue === FS_QUEUE_HIPRIO) {
      for (const chain of source) this.#serveHiprio(chain);
      return;
    }
    const sinceNs = this.#now();
    this.#kicked = true;
    this.#take(source, sinceNs);
    this.#kicked = false;
    this.#checkStall(sinceNs);
    this.#sweepLater();
  }

  /** Checks whether the host held up the guest since then. */
  #checkStall(sinceNs: number): void {
    const ns = this.#share.slow?.background.served(sinceNs) ?? 0;
    if (ns === 0) return;
    this.#host?.late?.();
    if (ns < STALL_LOG_NS) return;
    const seconds = (ns / 1e9).toFixed(1);
    this.#host?.log(
      `the host took ${seconds} s for a file; the thread pool waits for the next ones`,
    );
  }

  /** An idle guest has no turns, so what it holds on the host is released by a timer. */
  #sweepLater(): void {
    if (this.#cancelSweep !== null || this.#host === null) return;
    this.#cancelSweep = this.#host.after(SWEEP_MS, () => {
      this.#cancelSweep = null;
      // Fired inside a kick, everything would seem to be in use.
      if (this.#kicked || this.#sweep()) this.#sweepLater();
    });
  }

  #sweep(): boolean {
    const sinceNs = this.#now();
    const isMore = this.#share.sweep();
    this.#checkStall(sinceNs);
    return isMore;
  }

  #stopSweeping(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = null;
  }

  /** Serves requests while there is room; the rest follow when others have been answered. */
  #take(source: VirtQueue, sinceNs: number): void {
    const background = this.#share.slow?.background;
    for (let served = 0; background?.full !== true && this.#saving?.isQuiet !== true; served++) {
      const chain = source.pop();
      if (chain === null) return;
      if (served > 0) background?.served(sinceNs); // do not hold up this one as well
      this.#serve(chain);
    }
  }

  halted(): void {}

  reset(): void {
    this.#queues = [];
    this.#stopSweeping();
    this.#server.end();
  }

  dispose(): void {
    for (const queue of this.#queues) queue?.detach(); // late answers do nothing
    this.#queues = [];
    this.#stopSweeping();
    this.#share.dispose();
  }

  readonly #now = (): number => this.#host?.now() ?? 0;

  #serve(chain: Chain): void {
    const trace = this.#trace?.isOn === true ? this.#trace : null;
    const sinceNs = trace?.now() ?? 0;
    const request = this.#request;
    this.stats.requests++;
    let result = request.take(chain);
    const forgets = result === 0 && this.#forgets(request);
    if (result === 0 && !forgets) result = this.#server.serve(request);
    if (trace !== null) this.#tell(trace, sinceNs, request, result);
    if (forgets) request.finishEmpty();
    else if (request.parked) this.#request = this.#spare.pop() ?? this.#newRequest();
    else if (!request.detached) request.finish(result);
  }

  #tell(trace: DeviceTrace, sinceNs: number, request: FuseRequest, result: number): void {
    const node = trace.withNames ? this.#share.nodes.get(request.nodeid) : undefined;
    this.teller?.trace(trace, sinceNs, request, result, node);
  }

  #newRequest(): FuseRequest {
    return new FuseRequest(
      this.stats,
      () => this.#answered(),
      (request) => {
        if (request !== this.#request) this.#spare.push(request);
      },
    );
  }

  /** A request was answered late: by a host event, or in a kick, whose caller signals. */
  #answered(): void {
    if (this.#kicked) return;
    const sinceNs = this.#now();
    this.#kicked = true;
    for (const queue of this.#queues.slice(FS_QUEUE_HIPRIO + 1)) {
      if (queue !== null) this.#take(queue, sinceNs);
    }
    this.#kicked = false;
    this.#checkStall(sinceNs);
    for (const queue of this.#queues) queue?.signal();
    this.#host?.turn();
  }

  /** F7: only INTERRUPT, FORGET and BATCH_FORGET are allowed here. */
  #serveHiprio(chain: Chain): void {
    const trace = this.#trace?.isOn === true ? this.#trace : null;
    const sinceNs = trace?.now() ?? 0;
    const request = this.#request;
    this.stats.requests++;
    let result = request.take(chain);
    // The request to interrupt was answered in its own kick, or waits for a host call that cannot
    // be stopped.
    const silent =
      result === 0 && (this.#forgets(request) || request.opcode === FuseOpcode.INTERRUPT);
    if (result === 0 && !silent) result = -Errno.EINVAL;
    if (trace !== null) this.#tell(trace, sinceNs, request, result);
    if (silent) request.finishEmpty();
    else request.finish(result);
  }

  /** Serves the two requests without a reply, on any queue: a reference must not be lost. */
  #forgets(request: FuseRequest): boolean {
    if (request.opcode === FuseOpcode.FORGET) this.#server.forget(request);
    else if (request.opcode === FuseOpcode.BATCH_FORGET) this.#server.batchForget(request);
    else return false;
    return true;
  }
}

function configOf(tag: string, requestQueues: number): Uint8Array {
  const bytes = new TextEncoder().encode(tag);
  if (bytes.length < 1 || bytes.length > FS_TAG_BYTES_MAX || bytes.includes(0)) {
    throw new Error(`fs: tag "${tag}" is not 1 to ${FS_TAG_BYTES_MAX} bytes without NUL`);
  }
  if (!(requestQueues >= 1 && requestQueues <= REQUEST_QUEUES_MAX)) {
    throw new Error(`fs: ${requestQueues} request queues are not 1 to ${REQUEST_QUEUES_MAX}`);
  }
  const config = new Uint8Array(FsConfig.sizeof);
  config.set(bytes, FsConfig.tag);
  new DataView(config.buffer).setUint32(FsConfig.num_request_queues, requestQueues, true);
  return config;
}

function openShare(options: FsOptions, now: () => number, parts: FsParts): Share {
  const { directory, files, readOnly = true, attrTimeoutMs = 1000, limits } = options;
  // Sockets need descriptors too.
  const { descriptorsMax = files.descriptorsMax() / 2 } = options;
  const bounded = {
    nodesMax: Math.min(16_384, Math.floor(descriptorsMax / 2)),
    handlesMax: Math.min(1024, Math.floor(descriptorsMax / 4)),
    idleFilesMax: Math.min(1024, Math.floor(descriptorsMax / 8)),
    missingMs: 0,
    slowMs: 4,
    stallMs: 50,
    ...limits,
  };
  const changes = readOnly ? null : changesOf(files);
  try {
    return new Share(files, changes, directory, attrTimeoutMs, bounded, now, parts);
  } catch (error) {
    throw new Error(`fs: cannot share ${directory}: ${(error as Error).message}`);
  }
}

function changesOf(files: Files | (Files & FileChanges)): FileChanges {
  if ("create" in files) return files;
  throw new Error("fs: these files can only be read");
}
