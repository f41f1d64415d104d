// The kernel's interface for applications: all calls, constants and types. Applications and the
// library that they share (guest/) import nothing else of the kernel. The definition of each call
// says what it does, whether it yields, and how it fails.

// threads
export {
  BeginThread,
  Sleep,
  SysEndThread,
  SysJoinThread,
  SysKillThread,
  SysOnFault,
  SysResumeThread,
  SysSuspendThread,
  SysThreadSelf,
  SysThreadSwitch,
} from "./thread-calls";
export { ThreadEntry, WaitQueue } from "./thread";
export { wait, wakeAll, wakeSome } from "./scheduler";

// time
export { NEVER, NS_PER_MS, NS_PER_S, nowNs, realtimeNs } from "./clock";
export { clock } from "./hypercall";

// snapshots
export { SysGeneration } from "./generation";

// service
export { isDraining, settingsGeneration } from "./control";
export { AccessReason } from "../abi/access-log";
export {
  isLogged,
  LoggedRequest,
  SysLogCut,
  SysLogRequest,
  SysLogResponse,
} from "./access-log";

export { CounterKind } from "../abi/counters";
export { SysCounter } from "./counters";

// memory
export { arenaBytes, arenaMark, arenaRelease } from "./arena/arena";
export {
  allocatedBytes,
  heapBytes,
  heapInUse,
  ToroAllocMem,
  ToroFreeMem,
  ToroGetAlignedMem,
  ToroGetMem,
  ToroMemLength,
  ToroReAllocMem,
} from "./memory";
export { IoVec, VECTOR_MAX } from "./iovec";
export { FNV_BASIS, fnv1a, fnv1aByte } from "./hash";
export { sipHash13 } from "./siphash";

// text, console and parameters
export { Span, span, spanAddress, spanBytes, text } from "./span";
export { print, printBytes, printNumber } from "./console";
export {
  kernelParameter,
  parameterBytes,
  parameterIs,
  parameterNumber,
  parameterNumber64,
  parameterText,
} from "./commandline";

// drivers of the application's own: "torito/drivers/virtio" and "torito/drivers/virtqueue"
export { registerDriver } from "./devices";
export { registerInterrupt } from "./interrupt";

// errors
export { Errno } from "../abi/errno";

// sockets
export { VMADDR_CID_HOST } from "../abi/vsock";
export {
  AF_INET,
  AF_VSOCK,
  MSG_DONTWAIT,
  MSG_EOR,
  MSG_MORE,
  MSG_TRUNC,
  MSG_ZEROCOPY,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "./net/socket/flags";
export {
  SocketAddress,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
  SysSocketLocalAddress,
  SysSocketPeerAddress,
  SysSocketReceiveCounter,
  SysSocketReset,
  SysSocketShutdown,
  SysSocketStat,
} from "./net/socket/calls";
export { SysSocketConnect } from "./net/socket/connect";
export {
  FIONSPACE,
  SIOCINQ,
  SIOCOUTQ,
  SO_ACCEPTCONN,
  SO_BINDTODEVICE,
  SO_CONNECT_TIMEOUT,
  SO_ERROR,
  SO_LINGER,
  SO_NONBLOCK,
  SO_PROGRESS,
  SO_RCVBUF,
  SO_RCVLOAN,
  SO_RCVLOWAT,
  SO_RCVTIMEO,
  SO_SENDMODE,
  SO_SNDBUF,
  SO_SNDLOWAT,
  SO_SNDTIMEO,
  SO_TYPE,
  SO_ZEROCOPY,
  SysSocketGetOption,
  SysSocketSetOption,
} from "./net/socket/options";
export { SysSocketMessageFlags, SysSocketPeek, SysSocketRecv } from "./net/socket/receive";
export {
  Loan,
  LOAN_COPIED,
  LOAN_EOM,
  LOAN_EOR,
  LOAN_PARTIAL,
  SysSocketRecvLoan,
  SysSocketRelease,
} from "./net/socket/loan";
export {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  SelectEntry,
  SysSocketSelect,
} from "./net/socket/select";
export {
  Completion,
  COMPLETION_COPIED,
  SysSocketSend,
  SysSocketSendCompletion,
  SysSocketSendVector,
} from "./net/socket/send";
export {
  areaAdviseDontNeed,
  AreaEntry,
  areaMap,
  areaReceive,
  areaUnmap,
} from "./net/socket/receive-area";

// packets
export { Packet } from "./net/link/packet";
export { AllocatePacket, FreePacket } from "./net/link/pool";
export { SysNetworkRead, SysNetworkSend } from "./net/link/interface";

// files
export {
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  SysCloseFile,
  SysReadFile,
  SysReadFileAt,
  SysSeekFile,
  SysStatFile,
  SysStatLink,
  SysStatOpenFile,
} from "./fs/calls";
export { SysReadDirectory } from "./fs/directory";
export { SysMount } from "./fs/mount";
export { MAP_WRITE, SysMapFile, SysUnmapFile } from "./fs/map";
export {
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
  SysCreateFile,
  SysOpenFile,
} from "./fs/open";
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
  SysSymlink,
  SysUnlink,
} from "./fs/names";
export { RENAME_NOREPLACE, SysRename } from "./fs/rename";
export {
  F_OK,
  OWNER_OMIT,
  R_OK,
  SysAccessFile,
  SysSetMode,
  SysSetOwner,
  SysSetTimes,
  SysStatFileSystem,
  SysTruncateFile,
  SysTruncateOpenFile,
  TIME_NOW,
  TIME_OMIT,
  W_OK,
  X_OK,
} from "./fs/attributes";
export { believedUntil, copyStat, DirectoryEntry, FileStat, FileSystemStat } from "./fs/stat";

// entropy
export { randomBytes } from "./std";
