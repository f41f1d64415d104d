// SETATTR: size, owner, permissions and times, and what the cache of nodes learns from it.
import { Errno } from "../../abi/errno";
import { FuseAttrOut, FuseOpcode, FuseType } from "../../abi/fuse";
import { FuseSetattrIn, FuseSetattrValid } from "../../abi/fuse-write";
import { argumentsOf, FsRequest } from "../../drivers/fs/driver";
import { transact } from "../../drivers/fs/transact";
import { nowNs } from "../clock";
import { expire, isDirectory, Node, typeOf } from "./node";
import { takeAttributes } from "./session";

/** Arguments that change nothing yet, for sendSetattr. */
export function setattrArguments(request: FsRequest): usize {
  return argumentsOf(request, FuseSetattrIn.sizeof);
}

/** Changes what the arguments say, FuseSetattrValid. Yields. Returns 0 or an error. */
export function sendSetattr(request: FsRequest, node: Node): i32 {
  const session = node.session;
  const sentNs = nowNs();
  const version = session.version;
  const bytes = <u32>FuseSetattrIn.sizeof;
  const got = transact(request, FuseOpcode.SETATTR, node.nodeid, bytes, FuseAttrOut.sizeof, 0, 0);
  const current = version == session.version;
  session.version++;
  expire(node);
  return got < 0 ? got : takeAttributes(request, node, sentNs, current);
}

/** Gives a file another size, by its node. Yields. Returns 0 or an error. */
export function resize(request: FsRequest, node: Node, size: u64): i32 {
  if (isDirectory(node)) return -Errno.EISDIR;
  if (typeOf(node) != FuseType.REG) return -Errno.EINVAL;
  const input = setattrArguments(request);
  store<u32>(input, 1 << FuseSetattrValid.SIZE, FuseSetattrIn.valid);
  store<u64>(input, size, FuseSetattrIn.size);
  return sendSetattr(request, node);
}
