// Requests that make an entry in a directory: MKDIR, SYMLINK, LINK and CREATE.
import { Errno } from "../../abi/errno";
import { FuseEntryOut, FuseOpcode } from "../../abi/fuse";
import { prepare, transact } from "../fuse/request";
import { replyOf } from "../fuse/session";
import { Call, stepInto } from "./call";
import { beginEntry, endEntry, entryBefore, makeRoom, takeEntry } from "./lookup";
import { NO_NODE } from "./node";
import { expire, findById, hashName } from "./table";

/**
 * Prepares a request in the directory where the call is, with `head` bytes of arguments and then
 * the last name. Returns where the arguments are, zeroed.
 */
export function prepareName(call: Call, opcode: FuseOpcode, head: u32): usize {
  const bytes = call.nameBytes;
  assert(bytes != 0, "fs: no name");
  const input = prepare(call.request, opcode, call.node.nodeid, head + bytes + 1);
  memory.copy(input + head, call.name, bytes);
  return input;
}

/**
 * Sends a request that prepareName() has begun and whose reply begins with FuseEntryOut, for a file
 * of FuseType `type`. Yields. Returns 0, and the call is at the new node; or an error.
 */
export function makeEntry(call: Call, type: u32): i32 {
  const parent = call.node;
  const fs = call.fs;
  const request = call.request;
  const bytes = call.nameBytes;
  assert(request.replyBytes >= <u32>FuseEntryOut.sizeof, "fs: no reply");
  const hash = hashName(parent, call.name, bytes);
  if (!beginEntry(call, parent, hash, call.name, bytes)) return -Errno.ENOMEM;
  let got: i32 = 0;
  for (let tries = 0; tries < 2; tries++) {
    request.nodeid = parent.nodeid;
    got = transact(request);
    if (got != -Errno.ENFILE) break;
    makeRoom(fs);
  }
  const current = call.version == fs.version;
  fs.version++;
  if (current) call.version = fs.version; // that was the call's own change
  expire(parent);
  if (got >= 0) {
    const other = findById(fs, load<u64>(replyOf(request), FuseEntryOut.nodeid));
    if (other != NO_NODE) expire(other);
    got = takeEntry(call, type);
  }
  if (got < 0) {
    const before = entryBefore(call);
    if (before != NO_NODE) before.entryUntilNs = 0; // its name said something else
  }
  endEntry(call);
  if (got < 0) return got;
  stepInto(call);
  assert(call.node.parent == parent, "fs: misplaced");
  return got;
}
