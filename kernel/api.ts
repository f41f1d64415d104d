// What the kernel offers to applications, by name; also an image of its own: the kernel without an
// application, exporting these calls for tools and tests.
import { kernelMain } from "./main";

export { interrupt, run } from "./main";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, null);
}

// threads
export {
  BeginThread,
  Sleep,
  SysEndThread,
  SysJoinThread,
  SysKillThread,
  SysResumeThread,
  SysSuspendThread,
  SysThreadSelf,
  SysThreadSwitch,
} from "./process";

// memory
export {
  ToroAllocMem,
  ToroFreeMem,
  ToroGetAlignedMem,
  ToroGetMem,
  ToroMemLength,
  ToroReAllocMem,
} from "./memory";

// sockets
export {
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketConnect,
  SysSocketListen,
  SysSocketLocalAddress,
  SysSocketPeerAddress,
  SysSocketReceiveCounter,
  SysSocketReset,
  SysSocketShutdown,
  SysSocketStat,
} from "./net/calls";
export { SysSocketGetOption, SysSocketSetOption } from "./net/options";
export { SysSocketMessageFlags, SysSocketPeek, SysSocketRecv } from "./net/receive";
export { SysSocketRecvLoan, SysSocketRelease } from "./net/loan";
export { SysSocketSelect } from "./net/select";
export { SysSocketSend, SysSocketSendCompletion, SysSocketSendVector } from "./net/send";

// packets
export { AllocatePacket, FreePacket } from "./net/packet";
export { SysNetworkRead, SysNetworkSend } from "./net/interface";

// files
export {
  SysCloseFile,
  SysMount,
  SysReadDirectory,
  SysReadFile,
  SysReadFileAt,
  SysSeekFile,
  SysStatFile,
  SysStatLink,
  SysStatOpenFile,
} from "./fs/calls";
export { SysMapFile, SysUnmapFile } from "./fs/map";
export { SysCreateFile, SysOpenFile } from "./fs/open";
export {
  SysCopyFile,
  SysReadVector,
  SysSyncFile,
  SysWriteFile,
  SysWriteFileAt,
  SysWriteVector,
} from "./fs/write";
export {
  SysCreateDir,
  SysLink,
  SysReadLink,
  SysRemoveDir,
  SysRename,
  SysSymlink,
  SysUnlink,
} from "./fs/names";
export {
  SysAccessFile,
  SysSetMode,
  SysSetOwner,
  SysSetTimes,
  SysStatFileSystem,
  SysTruncateFile,
  SysTruncateOpenFile,
} from "./fs/attributes";
