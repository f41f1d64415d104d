// How a file system starts: INIT, the root's attributes, the window. A device that has failed or
// asked for a reset is restarted by the next call that needs it. Mounts stay; open files are lost
// with the session (-ESTALE), and so are stores into mappings, as if the server had crashed.
import {
  beginRestart,
  endRestart,
  giveUpDevice,
  reportDevice,
  restartDevice,
} from "../fuse/device";
import { sendInit } from "../fuse/init";
import { acquireRequest, releaseRequest } from "../fuse/pool";
import { FuseRequest } from "../fuse/session";
import { renewFileSystem } from "./filesystem";
import { FileSystem } from "./node";
import { getAttributes } from "./nodeattributes";
import { NO_WINDOW, openWindow, renewWindow, Window } from "./window";

/** Yields. Returns 0, -EPROTO, -ENOTDIR or an error. */
export function startFileSystem(request: FuseRequest, fs: FileSystem): i32 {
  assert(fs.session == request.session, "fs: misplaced");
  let status = sendInit(request);
  if (status == 0) status = getAttributes(request, fs.root, false, 0);
  if (status < 0) return status;
  const session = fs.session;
  if (session.maps && fs.window == 0) openWindow(fs);
  session.started = true;
  return 0;
}

/** Restarts the file system's device if it has failed. Yields; the caller is shielded. */
export function reviveDevice(fs: FileSystem): void {
  const session = fs.session;
  if (!beginRestart(session)) return;
  restart(fs);
  endRestart(session);
}

function restart(fs: FileSystem): void {
  const session = fs.session;
  if (!renewFileSystem(fs)) return;
  const window = changetype<Window>(fs.window);
  if (window != NO_WINDOW) renewWindow(window);
  if (!restartDevice(session)) return;
  const request = acquireRequest(session);
  if (!request) return giveUpDevice(session);
  const status = startFileSystem(request, fs);
  releaseRequest(request);
  if (status < 0) giveUpDevice(session);
  else reportDevice(session, "is back; files that were open are not\n");
}
