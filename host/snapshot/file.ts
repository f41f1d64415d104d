// A snapshot as bytes, for a file. It belongs to one image and one version of this format: there is
// no migration, and an unknown version is refused.
//
//   magic │ version u32 │ length u32 │ head: JSON │ SHA-256 of all before │ pages
//
// The head has a checksum of each group of pages, so that damage is found, and where it is.
import { equalBytes, joinBytes } from "../bytes.ts";
import { damaged, SnapshotError } from "./errors.ts";
import { Fields, toText } from "./fields.ts";
import { MachineState } from "./machine-state.ts";
import { PAGE_BYTES, pagesIn, type Run } from "./pages.ts";
import { readRegisters, writeRegisters } from "./register-state.ts";
import { type SavedDevice, Snapshot, type SnapshotContent } from "./snapshot.ts";

/** SHA-256 in hexadecimal digits. */
export type Hash = (bytes: Uint8Array) => string;

const MAGIC = new TextEncoder().encode("TORITOSN");
const VERSION = 1;
const FRONT_BYTES = MAGIC.length + 8;
const HASH_BYTES = 32;
/** Bounds what a file can make the host parse: 4096 files with long names take 4 MiB. */
const HEAD_BYTES_MAX = 32 << 20;
/** Pages with one checksum: 1 MiB. */
const GROUP_PAGES = 256;

const RAM_BYTES_MAX = 65536 * 65536;
const RAM_BYTES_MIN = 65536;
const PAGES_MAX = RAM_BYTES_MAX / PAGE_BYTES;
const GLOBALS_MAX = 1_000_000;
const DEVICES_MAX = 24;
const QUEUES_MAX = 256;
const QUEUE_SIZE_MAX = 32768;
const REGIONS_MAX = 16;
const NAME_MAX = 256;
const LINE_BYTES_MAX = 1 << 20;
const NS_MAX = Number.MAX_SAFE_INTEGER;

/** The snapshot's file. Throws SnapshotError if its description is too long. */
export function encodeSnapshot({ content }: Snapshot, hash: Hash): Uint8Array {
  const { image, runs, pages, globals, devices, line } = content;
  image.hash ??= hash(image.bytes as Uint8Array);
  const head = {
    image: image.hash,
    ramBytes: content.ramBytes,
    nowNs: content.nowNs,
    takenNs: content.takenNs.toString(),
    line: toText(line),
    globals: globals.map(String),
    devices: devices.map((one) => ({ ...one, registers: writeRegisters(one.registers) })),
    runs: runs.flat(),
    sums: groupsOf(pages).map(hash),
  };
  const json = new TextEncoder().encode(JSON.stringify(head));
  if (json.length > HEAD_BYTES_MAX) {
    throw new SnapshotError("ERR_SNAPSHOT_BUSY", `a head of ${json.length} bytes is too long`);
  }
  const front = new Uint8Array(FRONT_BYTES);
  front.set(MAGIC);
  const view = new DataView(front.buffer);
  view.setUint32(MAGIC.length, VERSION, true);
  view.setUint32(MAGIC.length + 4, json.length, true);
  const before = joinBytes([front, json]);
  return joinBytes([before, fromHex(hash(before)), pages]);
}

/** Reads a snapshot's file, which anybody may have written. Throws SnapshotError. */
export function decodeSnapshot(bytes: Uint8Array, hash: Hash): Snapshot {
  if (bytes.length < FRONT_BYTES || !equalBytes(bytes.slice(0, MAGIC.length), MAGIC)) {
    throw damaged("this is no snapshot");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(MAGIC.length, true);
  if (version !== VERSION) {
    throw damaged(`it is of version ${version}, and this program reads version ${VERSION}`);
  }
  const length = view.getUint32(MAGIC.length + 4, true);
  if (length > HEAD_BYTES_MAX) throw damaged(`a head of ${length} bytes`);
  const end = FRONT_BYTES + length;
  if (bytes.length < end + HASH_BYTES) throw damaged("it is cut off in its head");
  const sum = bytes.slice(end, end + HASH_BYTES);
  if (!equalBytes(sum, fromHex(hash(bytes.subarray(0, end))))) throw damaged("its head is damaged");
  const content = readHead(bytes.subarray(FRONT_BYTES, end), bytes.slice(end + HASH_BYTES), hash);
  return new Snapshot(content, MachineState);
}

function readHead(json: Uint8Array, pages: Uint8Array, hash: Hash): SnapshotContent {
  const head = new Fields(parse(json), "head");
  const image = head.text("image");
  if (!/^[0-9a-f]{64}$/.test(image)) throw damaged("no SHA-256 of an image");
  const ramBytes = head.count("ramBytes", RAM_BYTES_MAX);
  if (ramBytes < RAM_BYTES_MIN || ramBytes % RAM_BYTES_MIN !== 0) {
    throw damaged(`memory of ${ramBytes} bytes`);
  }
  const runs = readRuns(head, ramBytes);
  checkPages(head, runs, pages, hash);
  return {
    image: { bytes: null, module: null, hash: image },
    ramBytes,
    runs,
    pages,
    globals: head
      .list("globals", GLOBALS_MAX)
      .map((bits) => new Fields({ bits }, "globals").u64("bits")),
    devices: head.objects("devices", DEVICES_MAX).map(readDevice),
    nowNs: head.count("nowNs", NS_MAX),
    takenNs: head.integer("takenNs"),
    line: head.bytes("line", LINE_BYTES_MAX),
  };
}

function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(json));
  } catch (error) {
    throw damaged(`its head is no JSON: ${(error as Error).message}`);
  }
}

/** Ascending, apart, and inside the RAM. */
function readRuns(head: Fields, ramBytes: number): Run[] {
  const flat = head.counts("runs", 2 * PAGES_MAX, PAGES_MAX);
  if (flat.length % 2 !== 0) throw damaged("half a run of pages");
  const runs: Run[] = [];
  let end = 0;
  for (let i = 0; i < flat.length; i += 2) {
    const [first, count] = [flat[i] as number, flat[i + 1] as number];
    if (first < end || count === 0) throw damaged(`pages from ${first} on overlap`);
    end = first + count;
    if (end * PAGE_BYTES > ramBytes) throw damaged(`page ${end - 1} is outside the memory`);
    runs.push([first, count]);
  }
  return runs;
}

function checkPages(head: Fields, runs: readonly Run[], pages: Uint8Array, hash: Hash): void {
  const bytes = pagesIn(runs) * PAGE_BYTES;
  if (pages.length < bytes) throw damaged(`it is cut off: ${pages.length} of ${bytes} bytes`);
  if (pages.length > bytes) throw damaged(`${pages.length - bytes} bytes follow its end`);
  const sums = head.list("sums", PAGES_MAX);
  const groups = groupsOf(pages);
  if (sums.length !== groups.length) throw damaged("its checksums are not those of its pages");
  for (const [i, group] of groups.entries()) {
    if (hash(group) === sums[i]) continue;
    const first = i * GROUP_PAGES;
    throw damaged(`pages ${first} to ${first + group.length / PAGE_BYTES - 1} of it are damaged`);
  }
}

function readDevice(fields: Fields): SavedDevice {
  const device = {
    id: fields.u32("id"),
    name: fields.text("name", NAME_MAX),
    queueSizesMax: fields.counts("queueSizesMax", QUEUES_MAX, QUEUE_SIZE_MAX),
    sharedMemory: fields.counts("sharedMemory", REGIONS_MAX, RAM_BYTES_MAX),
    registers: readRegisters(fields.object("registers")),
  };
  if (device.registers.queues.length === device.queueSizesMax.length) return device;
  throw damaged(`the queues of ${device.name} are not as many as it says`);
}

function groupsOf(pages: Uint8Array): Uint8Array[] {
  const groups: Uint8Array[] = [];
  for (let at = 0; at < pages.length; at += GROUP_PAGES * PAGE_BYTES) {
    groups.push(pages.subarray(at, at + GROUP_PAGES * PAGE_BYTES));
  }
  return groups;
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}
