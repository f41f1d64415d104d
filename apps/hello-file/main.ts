// HelloFile: the smallest application that writes a file, and syncs it to the disk before it powers
// off. Kernel parameter: root=site (tag of a directory that is shared for writing).
import {
  O_CREAT,
  O_TRUNC,
  O_WRONLY,
  parameterText,
  print,
  spanAddress,
  spanBytes,
  SysCloseFile,
  SysMount,
  SysOpenFile,
  SysSyncFile,
  SysWriteFile,
  text,
} from "torito/kernel/api";
import { failed } from "torito/guest/server";

const NAME = "HelloFile";
const ROOT = text("/");
const HELLO = text("hello"); // name and content

export function main(): i32 {
  const tag = parameterText("root", text("site"));
  let status = SysMount(spanAddress(tag), spanBytes(tag), spanAddress(ROOT), spanBytes(ROOT));
  if (status < 0) return failed(NAME, "mount", status);
  const file = SysOpenFile(spanAddress(HELLO), spanBytes(HELLO), O_WRONLY | O_CREAT | O_TRUNC);
  if (file < 0) return failed(NAME, "open", file);
  status = SysWriteFile(file, spanAddress(HELLO), spanBytes(HELLO));
  if (status < 0) return failed(NAME, "write", status);
  status = SysSyncFile(file, false);
  if (status < 0) return failed(NAME, "fsync", status);
  status = SysCloseFile(file);
  if (status < 0) return failed(NAME, "close", status);
  print("HelloFile: the disk has it\n");
  return 0;
}
