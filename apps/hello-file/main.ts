// HelloFile: the smallest application that writes a file, and syncs it to the disk before it powers
// off. Kernel parameter: root=site (tag of a directory that is shared for writing).
import {
  kernelMain,
  kernelParameter,
  O_CREAT,
  O_TRUNC,
  O_WRONLY,
  parameterBytes,
  print,
  SysCloseFile,
  SysMount,
  SysOpenFile,
  SysSyncFile,
  SysWriteFile,
} from "../../kernel/api";
import { failed } from "../../guest/server";

export { interrupt, run } from "../../kernel/api";

const NAME = "HelloFile";
const ROOT_DEFAULT: usize = memory.data<u8>([0x73, 0x69, 0x74, 0x65]); // "site"
const SLASH: usize = memory.data<u8>([0x2f]);
const HELLO: usize = memory.data<u8>([0x68, 0x65, 0x6c, 0x6c, 0x6f]); // "hello": name and content
const HELLO_BYTES: u32 = 5;

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  const tag = kernelParameter("root");
  let status = tag == 0
    ? SysMount(ROOT_DEFAULT, 4, SLASH, 1)
    : SysMount(tag, parameterBytes(tag), SLASH, 1);
  if (status < 0) return failed(NAME, "mount", status);
  const file = SysOpenFile(HELLO, HELLO_BYTES, O_WRONLY | O_CREAT | O_TRUNC);
  if (file < 0) return failed(NAME, "open", file);
  status = SysWriteFile(file, HELLO, HELLO_BYTES);
  if (status < 0) return failed(NAME, "write", status);
  status = SysSyncFile(file, false);
  if (status < 0) return failed(NAME, "fsync", status);
  status = SysCloseFile(file);
  if (status < 0) return failed(NAME, "close", status);
  print("HelloFile: the disk has it\n");
  return 0;
}
