// The file system device in snapshots: nodes with the names that they had, handles, mapped parts of
// files. Descriptors of the host are not in it. A node is found again by name when the guest
// returns to it, as after it was idle; if the name leads to another inode by then, or to none, the
// answer is ESTALE (node-table.ts).
import { FUSE_O_ACCMODE, FUSE_O_RDONLY, FUSE_ROOT_ID, FuseType } from "../../../abi/fuse.ts";
import type { DeviceSnapshots } from "../../device.ts";
import type { FileStat } from "../../ports/files.ts";
import { damaged, SnapshotError } from "../../snapshot/errors.ts";
import { Fields, toText } from "../../snapshot/fields.ts";
import type { Handle } from "./nodes/handles.ts";
import { NAMES_MAX } from "./nodes/handles.ts";
import { type Node, type Place, typeOf } from "./nodes/node.ts";
import { KINDS } from "./nodes/open-file.ts";
import { nameFault } from "./request.ts";
import type { FuseServer } from "./server.ts";
import type { Share } from "./share.ts";
import type { SavedSlot } from "./window/dax-window.ts";

/** Names that a node may have been seen at: one, and earlier ones. */
const PLACES_MAX = 9;
const NAME_BYTES_MAX = 255;
/** Text of a symbolic link: PATH_MAX. */
const TARGET_BYTES_MAX = 4096;
/** Numbers of nodes and handles: as many are left as no guest can use up. */
const ID_MAX = 2 ** 52;
/** Up to here Node's calls accept offsets as numbers. */
const OFFSET_MAX = 2 ** 52;
const SLOTS_MAX = 65536;

const STAT_KEYS = [
  "dev",
  "ino",
  "mode",
  "nlink",
  "uid",
  "gid",
  "rdev",
  "size",
  "blksize",
  "blocks",
  "atimeNs",
  "mtimeNs",
  "ctimeNs",
] as const;

export class FsSaving implements DeviceSnapshots {
  readonly #share: Share;
  readonly #server: FuseServer;
  readonly #resumed: () => void;
  #waiting = 0; // snapshots that are being taken

  /** `resumed`: the device takes requests again. */
  constructor(share: Share, server: FuseServer, resumed: () => void) {
    this.#share = share;
    this.#server = server;
    this.#resumed = resumed;
  }

  /** Must the device leave requests in the ring? */
  get isQuiet(): boolean {
    return this.#waiting > 0;
  }

  async quiesce(): Promise<void> {
    this.#waiting++;
    await this.#share.slow?.activity.idle();
  }

  resume(): void {
    this.#waiting--;
    if (this.#waiting === 0) this.#resumed();
  }

  save(): unknown {
    const { nodes, handles, window } = this.#share;
    try {
      window?.writeBackAll();
    } catch (error) {
      const reason = `what is stored in a mapped file is not written: ${(error as Error).message}`;
      throw new SnapshotError("ERR_SNAPSHOT_BUSY", reason);
    }
    return {
      started: this.#server.started,
      nextNode: nodes.nextId,
      nodes: Array.from(nodes.others(), (node) => this.#saveNode(node)),
      nextHandle: handles.nextId,
      handles: Array.from(handles.all(), saveHandle),
      slots: window?.save() ?? [],
    };
  }

  restore(state: unknown): void {
    const { nodes, handles, window } = this.#share;
    const fields = new Fields(state, "fs");
    this.#server.started = fields.flag("started");
    const saved = fields.objects("nodes", nodes.max);
    for (const one of saved) this.#makeNode(one);
    for (const one of saved) this.#placeNode(one);
    nodes.nextId = nextOf(fields, "nextNode", nodes.others());
    let names = 0;
    for (const one of fields.objects("handles", handles.max)) {
      names += this.#makeHandle(one, NAMES_MAX - names);
    }
    handles.nextId = nextOf(fields, "nextHandle", handles.all());
    const slots = fields.objects("slots", SLOTS_MAX).map((one) => this.#readSlot(one));
    if (window !== null) window.restore(slots);
    else if (slots.length > 0) throw damaged("fs: mapped files, and no window");
  }

  #saveNode(node: Node): unknown {
    const { nodes } = this.#share;
    const places = node.place === null ? [] : [node.place, ...node.places];
    return {
      id: node.id,
      stat: saveStat(node.stat),
      target: toText(node.target),
      references: node.references,
      names: places
        .filter(({ parent }) => nodes.get(parent.id) === parent)
        .map(({ parent, name }) => ({ parent: parent.id, name: toText(name) })),
    };
  }

  #makeNode(fields: Fields): void {
    const { nodes } = this.#share;
    const id = fields.count("id", ID_MAX);
    if (id <= FUSE_ROOT_ID || nodes.get(id) !== undefined) throw damaged(`fs: node ${id} twice`);
    const target = fields.bytes("target", TARGET_BYTES_MAX);
    const node = nodes.revive(id, readStat(fields.object("stat")), target);
    node.references = fields.count("references", ID_MAX);
  }

  /** Its parents may be younger than the node. */
  #placeNode(fields: Fields): void {
    const { nodes } = this.#share;
    const node = nodes.get(fields.count("id", ID_MAX)) as Node;
    const places = fields.objects("names", PLACES_MAX).map((one): Place => {
      const parent = nodes.get(one.count("parent", ID_MAX));
      const name = one.bytes("name", NAME_BYTES_MAX);
      if (parent?.type !== FuseType.DIR || !isName(name)) throw damaged("fs: a name of no entry");
      return { parent, name };
    });
    [node.place = null, ...node.places] = places;
  }

  /** Returns how many names it holds. */
  #makeHandle(fields: Fields, namesMax: number): number {
    const { nodes, handles, changes } = this.#share;
    const id = fields.count("id", ID_MAX);
    const node = nodes.get(fields.count("node", ID_MAX));
    const isDirectory = fields.any("flags") === null;
    if (node?.type !== (isDirectory ? FuseType.DIR : FuseType.REG)) {
      throw damaged(`fs: handle ${id} of nothing that can be open`);
    }
    const flags = isDirectory ? null : fields.u32("flags") & KINDS;
    const mayWrite = ((flags ?? 0) & FUSE_O_ACCMODE) !== FUSE_O_RDONLY;
    if (mayWrite && changes === null) throw damaged(`fs: handle ${id} writes what is read-only`);
    const names = fields.list("names", namesMax).map((text) => {
      const name = new Fields({ text }, "fs").bytes("text", NAME_BYTES_MAX);
      if (!isName(name)) throw damaged("fs: a name of no entry");
      return { name, type: 0 };
    });
    if (!handles.revive(id, node, flags, names)) throw damaged(`fs: handle ${id} twice`);
    return names.length;
  }

  #readSlot(fields: Fields): SavedSlot {
    const { nodes, changes } = this.#share;
    const node = nodes.get(fields.count("node", ID_MAX));
    if (node?.type !== FuseType.REG) throw damaged("fs: a mapping of no file");
    const writing = fields.any("writing") === null ? null : fields.u32("writing");
    if (writing !== null && changes === null) throw damaged("fs: a mapping writes");
    return {
      index: fields.u32("index"),
      node,
      offset: fields.count("offset", OFFSET_MAX),
      writing,
    };
  }
}

/** The next number, which none of them has or had. */
function nextOf(fields: Fields, key: string, all: Iterable<{ readonly id: number }>): number {
  const next = fields.count(key, ID_MAX);
  for (const { id } of all) if (id >= next) throw damaged(`fs: ${key} is ${next}, after ${id}`);
  return next;
}

/** Of an entry that there may be (Files). */
function isName(name: Uint8Array): boolean {
  return name.length > 0 && nameFault(name) === 0 && !name.includes(0);
}

function saveHandle({ id, node, file, names }: Handle): unknown {
  return {
    id,
    node: node.id,
    flags: file?.flags ?? null,
    names: names.map(({ name }) => toText(name)),
  };
}

function saveStat(stat: FileStat): unknown {
  const birth = stat.birthtimeNs;
  const known = birth === undefined ? {} : { birthtimeNs: birth.toString() };
  return Object.fromEntries([
    ...STAT_KEYS.map((key) => [key, stat[key].toString()]),
    ...Object.entries(known),
  ]);
}

function readStat(fields: Fields): FileStat {
  const values = Object.fromEntries(STAT_KEYS.map((key) => [key, fields.integer(key)]));
  const stat = values as unknown as FileStat;
  if (!isType(typeOf(stat))) throw damaged("fs: a node of no type");
  if (fields.any("birthtimeNs") === undefined) return stat;
  return { ...stat, birthtimeNs: fields.integer("birthtimeNs") };
}

function isType(type: number): boolean {
  return Number.isInteger(type) && type > 0 && type <= 0xf;
}
