// INIT: the client and the server agree on a version and its limits (U1).
import { Errno } from "../../abi/errno";
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MINOR_VERSION_MIN,
  FUSE_PAGE_BYTES,
  FuseInitFlag,
  FuseInitIn,
  FuseInitOut,
  FuseOpcode,
} from "../../abi/fuse";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../abi/fuse-window";
import { prepare, transact } from "./request";
import { FuseRequest, replyOf } from "./session";

const INIT_FLAGS: u32 =
  (1 << FuseInitFlag.ASYNC_READ) |
  (1 << FuseInitFlag.BIG_WRITES) |
  (1 << FuseInitFlag.PARALLEL_DIROPS) |
  (1 << FuseInitFlag.MAX_PAGES) |
  (1 << FuseInitFlag.MAP_ALIGNMENT);
/** Data of one READ or WRITE, whatever the server allows: a kill waits for no more than that. */
const DATA_BYTES_MAX: u32 = 1 << 20;
/** The limit of a server without MAX_PAGES, as on Linux. */
const PAGES_DEFAULT: u32 = 32;

/** Sends INIT and takes over the limits. Yields. Returns 0, -EPROTO or an error. */
export function sendInit(request: FuseRequest): i32 {
  const input = prepare(request, FuseOpcode.INIT, 0, FuseInitIn.sizeof);
  store<u32>(input, FUSE_KERNEL_VERSION, FuseInitIn.major);
  store<u32>(input, FUSE_KERNEL_MINOR_VERSION, FuseInitIn.minor);
  store<u32>(input, DATA_BYTES_MAX, FuseInitIn.max_readahead);
  store<u32>(input, INIT_FLAGS, FuseInitIn.flags);
  request.replyBytes = FuseInitOut.sizeof;
  const got = transact(request);
  if (got < 0) return got;
  const reply = replyOf(request);
  if (load<u32>(reply, FuseInitOut.major) != FUSE_KERNEL_VERSION) return -Errno.EPROTO;
  if (load<u32>(reply, FuseInitOut.minor) < FUSE_MINOR_VERSION_MIN) return -Errno.EPROTO;
  const flags = load<u32>(reply, FuseInitOut.flags) & INIT_FLAGS;
  let pages = PAGES_DEFAULT;
  if ((flags & (1 << FuseInitFlag.MAX_PAGES)) != 0) pages = load<u16>(reply, FuseInitOut.max_pages);
  const bytes = min(pages * FUSE_PAGE_BYTES, load<u32>(reply, FuseInitOut.max_write));
  request.session.dataBytesMax = min(max<u32>(bytes, FUSE_PAGE_BYTES), DATA_BYTES_MAX);
  assert(request.session.dataBytesMax >= <u32>FUSE_PAGE_BYTES, "fs: empty");
  request.session.maps =
    (flags & (1 << FuseInitFlag.MAP_ALIGNMENT)) != 0 &&
    <u32>load<u16>(reply, FuseInitOut.map_alignment) <= <u32>FS_WINDOW_ALIGNMENT_LOG2;
  return 0;
}
