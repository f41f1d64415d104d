// The files of this host: by descriptors on Linux, by paths elsewhere.
import type { FileChanges, Files } from "../../ports/files.ts";
import { PathFiles } from "./path-files.ts";
import { ProcFiles } from "./proc-files.ts";

/** The files of this host: on Linux by descriptors, elsewhere by paths. */
export function hostFiles(): Files & FileChanges {
  return process.platform === "linux" ? new ProcFiles() : new PathFiles();
}
