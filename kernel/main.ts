// The kernel from boot to the application. The entry of an image, which the build makes, has a
// boot() that calls kernelMain, and exports run() and interrupt() from here.
import {
  BOOT_MAGIC,
  BOOT_VERSION,
  BootInfo,
  RunResult,
} from "../abi/boot";
import { accessLogInit } from "./access-log";
import { arenaInit } from "./arena/arena";
import { arenaSettingsInit } from "./arena/settings";
import { clockInit, nowNs, publishLoad, setNextTimer } from "./clock";
import { commandLineInit } from "./commandline";
import { controlInit } from "./control";
import { consoleEntered, flushConsole, print, printNumber } from "./console";
import { probeDevices } from "./devices";
import { distrustAll } from "./fs/mount";
import { generationInit, generationSeed, isRestored } from "./generation";
import { heapAllocations, heapBytes, heapInUse, memoryInit } from "./memory";
import { linkSettingsInit } from "./net/link/settings";
import { socketSettingsInit } from "./net/socket/settings";
import { statsInit } from "./net/socket/stats";
import { BeginThread } from "./thread-calls";
import { isIdle, restartFaulted, schedule } from "./scheduler";
import { threadCount } from "./thread";
import { nextDeadline, runTimers } from "./timer";
import { followTrace } from "./trace";
import { endTurn } from "./turn";
import "./panic"; // the build sends abort() there
import { reseed } from "./std"; // and seed()
import { proc_exit } from "./wasi_snapshot_preview1";

export { interrupt } from "./interrupt";

/** The application runs as the first thread, and returns the exit code of the machine. */
export type Application = () => i32;

let application: u32 = 0;

/** Boots. `main` is the application, or null for a kernel that only answers its exported calls. */
export function kernelMain(bootInfo: usize, main: Application | null): void {
  checkBootInfo(bootInfo);
  commandLineInit(bootInfo); // parameters
  clockInit(load<u32>(bootInfo, BootInfo.timePage)); // monotonic and real time
  generationInit(load<u32>(bootInfo, BootInfo.timePage)); // tells clones apart
  controlInit(load<u32>(bootInfo, BootInfo.control)); // what the host tells the application
  const start = arenaInit(); // the end of what the application's initialisers have allocated
  memoryInit(start, heapEnd(bootInfo, start)); // the heap: all of the RAM that is not image
  if (load<u32>(bootInfo, BootInfo.accessLog) != 0) startAccessLog(); // for the host, if it asks
  banner(bootInfo);
  arenaSettingsInit(); // memory of applications' objects
  linkSettingsInit(); // rings and buffers
  socketSettingsInit(); // copies and windows
  statsInit(); // payload counters
  probeDevices(); // virtio-mmio, as the command line announces them
  if (main) startApplication(main); // the first thread
}

/**
 * The end of the RAM; shared memory of devices may follow it. Of 4 GiB the last page is unused,
 * because its end is not an address.
 */
function heapEnd(bootInfo: usize, start: usize): usize {
  const pages = load<u32>(bootInfo, BootInfo.memoryPages);
  assert(pages <= <u32>memory.size(), "boot: less memory than announced");
  const end = <usize>min(pages, 0xffff) << 16;
  assert(end > start + 0x1000, "boot: no memory after the image");
  return end;
}

function checkBootInfo(bootInfo: usize): void {
  assert(load<u32>(bootInfo, BootInfo.magic) == BOOT_MAGIC, "boot: no boot information");
  assert(load<u32>(bootInfo, BootInfo.version) == BOOT_VERSION, "boot: wrong version");
}

function startAccessLog(): void {
  if (!accessLogInit()) print("access log: no memory for it\n");
}

function banner(bootInfo: usize): void {
  print("torito: ");
  printNumber(load<u32>(bootInfo, BootInfo.memoryPages) >> 4);
  print(" MiB, 1 CPU\n");
}

function startApplication(main: Application): void {
  application = main.index;
  assert(BeginThread(runApplication, 0, 0) > 0, "boot: no memory for the first thread");
}

function runApplication(_: usize): void {
  powerOff(call_indirect<i32>(application));
}

/** Ends the machine with an exit code. Does not return. */
export function powerOff(code: i32): void {
  flushConsole();
  proc_exit(code);
}

/** The machine goes on from a snapshot: whatever clones must not share, or time has changed. */
function restored(): void {
  distrustAll(); // names and attributes of files
  reseed(generationSeed()); // Math.random
}

/** The host's entry: runs threads until none is ready or `budget` of them have run. */
export function run(budget: u32): u32 {
  consoleEntered();
  if (!followTrace()) print("trace: no memory for the thread switches\n");
  if (isRestored()) restored();
  runTimers(nowNs());
  schedule(budget);
  endTurn();
  publishLoad(threadCount(), heapBytes(), heapInUse(), heapAllocations());
  if (!isIdle()) return RunResult.BudgetSpent;
  setNextTimer(nextDeadline());
  return RunResult.Halted;
}

/** The host's entry after a fault of the running thread, whose frames are gone. */
export function fault(): void {
  restartFaulted();
}
