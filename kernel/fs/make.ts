// Making entries of directories, and what the cache of nodes learns from it.
import { Errno } from "../../abi/errno";
import { FuseEntryOut, FuseOpcode } from "../../abi/fuse";
import { argumentsOf, bufferOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { waitForForgotten } from "../../drivers/fs/forget";
import { transactVector } from "../../drivers/fs/transact";
import { nowNs } from "../clock";
import {
  dropUnused,
  expire,
  findById,
  findChild,
  hashName,
  letGo,
  makeChild,
  nameOf,
  Node,
  NO_NODE,
} from "./node";
import { makeRoom, takeEntry } from "./session";

/** Puts the last name behind `head` bytes of arguments, zeroed; returns where they are. */
export function putName(request: FsRequest, head: u32): usize {
  const input = argumentsOf(request, head + request.nameBytes + 1);
  memory.copy(input + head, request.name, request.nameBytes);
  return input;
}

/**
 * Sends a request that makes the last name in the directory on which `request` stands, with `head`
 * bytes of arguments in front of putName()'s, and the text of a symbolic link behind it. The entry
 * must be of that type. Yields. Returns 0, and the request stands on the new node; or an error.
 */
export function makeEntry(
  request: FsRequest,
  opcode: FuseOpcode,
  head: u32,
  replyBytes: u32,
  type: u32,
  text: usize,
  textBytes: u32,
): i32 {
  const parent = changetype<Node>(request.node);
  const bytes = request.nameBytes;
  const hash = hashName(parent, request.name, bytes);
  waitForForgotten(request.driver);
  const made = makeChild(parent, hash, request.name, bytes);
  if (made == NO_NODE) return -Errno.ENOMEM;
  const session = parent.session;
  const sentNs = nowNs();
  const version = session.version;
  const input = head + bytes + 1;
  let got: i32 = 0;
  for (let tries = 0; tries < 2; tries++) {
    const buffer = bufferOf(request, text, textBytes);
    const segments: u32 = text == 0 ? 0 : 1;
    const nodeid = parent.nodeid;
    got = transactVector(request, opcode, nodeid, input, replyBytes, buffer, segments, true);
    if (got != -Errno.ENFILE) break;
    makeRoom(request);
  }
  const current = version == session.version;
  session.version++;
  expire(parent);
  const before = findChild(parent, hash, nameOf(made), bytes);
  if (got >= 0) {
    const other = findById(session, load<u64>(replyOf(request), FuseEntryOut.nodeid));
    if (other != NO_NODE) expire(other);
    got = takeEntry(request, made, before, sentNs, current, type);
  }
  if (got == 0) letGo(parent);
  else if (before != NO_NODE) before.entryUntilNs = 0; // what it said was not so
  if (!made.hashed) dropUnused(made);
  return got;
}
