// Writes numbered records to a file of the host, says so of each, and after every eighth that the
// disk has them: for tests that kill the machine meanwhile.
import { print, printNumber } from "torito/kernel/console";
import { spanAddress, text } from "torito/kernel/span";
import { SysCreateFile, SysMount, SysSyncFile, SysWriteFileAt } from "torito/kernel/api";
import { ToroGetMem } from "torito/kernel/memory";

const RECORD_BYTES: u32 = 4096;
const SYNCED: u32 = 8;
const RECORDS_MAX: u32 = 100_000;
const TAG = text("dir");
const ROOT = text("/");
const NAME = text("/log");

export function main(): i32 {
  if (SysMount(spanAddress(TAG), 3, spanAddress(ROOT), 1) < 0) return 1;
  const file = SysCreateFile(spanAddress(NAME), 4, 0o644);
  const record = ToroGetMem(RECORD_BYTES);
  for (let i: u32 = 0; i < RECORDS_MAX; i++) {
    for (let at: u32 = 0; at < RECORD_BYTES; at += 4) store<u32>(record + at, i);
    const written = SysWriteFileAt(file, record, RECORD_BYTES, <u64>i * RECORD_BYTES);
    if (written != RECORD_BYTES) return 2;
    tell("written ", i + 1);
    if (i % SYNCED != SYNCED - 1) continue;
    if (SysSyncFile(file, false) < 0) return 3;
    tell("synced ", i + 1);
  }
  return 0;
}

function tell(what: string, records: u32): void {
  print(what);
  printNumber(records);
  print("\n");
}
