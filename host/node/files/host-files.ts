// The files of this host: by descriptors on Linux, by paths elsewhere.
import type { FileChanges, Files } from "../../ports/files.ts";
import { PathFiles } from "./path-files.ts";
import { ProcFiles } from "./proc-files.ts";

export function hostFiles(): Files & FileChanges {
  return process.platform === "linux" ? new ProcFiles() : new PathFiles();
}
