// The requests of a virtio-fs device, each as a slice on its track of the machine's trace.
import { FuseInHeader, FuseOpcode } from "../../../abi/fuse.ts";
import {
  FuseCreateIn,
  FuseLinkIn,
  FuseMkdirIn,
  FuseMknodIn,
  FuseRename2In,
  FuseRenameIn,
} from "../../../abi/fuse-write.ts";
import type { DeviceTrace } from "../../device.ts";
import { fuseName } from "../../operation-names.ts";
import { EventKind, MACHINE } from "../../trace/event.ts";
import type { Node } from "./nodes/node.ts";
import type { FuseRequest } from "./request.ts";

/** Longer paths lose their beginning. */
const PATH_BYTES_MAX = 200;
const DEPTH_MAX = 64;
const SLASH = 0x2f;
const OPCODES = FuseOpcode.REMOVEMAPPING + 1;

/** Where the arguments of requests about an entry of a directory have its name. */
const NAME_AT: Readonly<Record<number, number>> = {
  [FuseOpcode.LOOKUP]: 0,
  [FuseOpcode.UNLINK]: 0,
  [FuseOpcode.RMDIR]: 0,
  [FuseOpcode.SYMLINK]: 0,
  [FuseOpcode.CREATE]: FuseCreateIn.sizeof,
  [FuseOpcode.MKNOD]: FuseMknodIn.sizeof,
  [FuseOpcode.MKDIR]: FuseMkdirIn.sizeof,
  [FuseOpcode.LINK]: FuseLinkIn.sizeof,
  [FuseOpcode.RENAME]: FuseRenameIn.sizeof,
  [FuseOpcode.RENAME2]: FuseRename2In.sizeof,
};

/** Tells people of requests. */
export interface RequestTeller {
  /** In a trace, when it is about to be answered with `result`: bytes of reply, or -Errno. */
  trace(
    trace: DeviceTrace,
    sinceNs: number,
    request: FuseRequest,
    result: number,
    node: Node | undefined,
  ): void;
  /** In a few words, by its first bytes. */
  describe(head: DataView): string;
}

/** Requests without an error, by their opcodes. Others are rare. */
const ANSWERED = Array.from({ length: OPCODES }, (_, opcode) => answeredOf(opcode));

const decoder = new TextDecoder();

/**
 * A request that is about to be answered with `result`: bytes of reply, or -Errno. `node` is the
 * one that it is about, if that is known.
 */
function traceRequest(
  trace: DeviceTrace,
  sinceNs: number,
  request: FuseRequest,
  result: number,
  node: Node | undefined,
): void {
  const { opcode, nodeid, bytes } = request;
  const isNamed = trace.withNames && node !== undefined;
  if (result >= 0 && !isNamed) {
    const kind = ANSWERED[opcode] ?? answeredOf(opcode);
    trace.took(kind, sinceNs, trace.present(), nodeid, bytes, result);
    return;
  }
  const reply = Math.max(result, 0);
  const args = { nodeid, len: bytes, reply, error: Math.min(result, 0) };
  const file = isNamed ? pathOf(node, nameIn(request)) : undefined;
  trace.slice(fuseName(opcode), sinceNs, args, trace.present(), file);
}

function answeredOf(opcode: number): EventKind {
  const constants = { error: 0 };
  return new EventKind("X", MACHINE, fuseName(opcode), ["nodeid", "len", "reply"], { constants });
}

/** The name of a directory's entry that the request is about; empty: it is about a node. */
function nameIn({ opcode, arguments: { buffer, byteOffset }, argumentBytes }: FuseRequest) {
  const at = NAME_AT[opcode];
  if (at === undefined || at >= argumentBytes) return new Uint8Array(0);
  const length = Math.min(argumentBytes - at, PATH_BYTES_MAX);
  const bytes = new Uint8Array(buffer, byteOffset + at).subarray(0, length);
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** From the root of the share, as it was seen last. */
function pathOf(node: Node, name: Uint8Array): string {
  const path = new Uint8Array(PATH_BYTES_MAX);
  let at = PATH_BYTES_MAX;
  const put = (part: Uint8Array) => {
    for (let i = part.length - 1; i >= 0 && at > 0; i--) path[--at] = part[i] as number;
    if (at > 0) path[--at] = SLASH;
  };
  if (name.length > 0) put(name);
  let one = node;
  for (let depth = 0; one.place !== null && depth < DEPTH_MAX; depth++) {
    put(one.place.name);
    one = one.place.parent;
  }
  if (at === PATH_BYTES_MAX) path[--at] = SLASH;
  return decoder.decode(path.subarray(at));
}

/** As in "LOOKUP of node 1"; "": it is too short for a header. Names of files are not shown. */
function describeRequest(head: DataView): string {
  if (head.byteLength < FuseInHeader.sizeof) return "";
  const name = fuseName(head.getUint32(FuseInHeader.opcode, true));
  return `${name} of node ${head.getBigUint64(FuseInHeader.nodeid, true)}`;
}

/** The teller of each device that has one. */
export const REQUEST_TELLER: RequestTeller = { trace: traceRequest, describe: describeRequest };
