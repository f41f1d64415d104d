// {{name}}: counts how often it has been started, in a file of the host. package.json shares the
// folder data/ for writing, under the tag "data".
import { failed, print, text } from "torito/guest";
import { spanAddress, spanBytes, SysMount } from "torito/kernel/api";
import { next } from "./counter";

const TAG = text("data");
const ROOT = text("/");
const COUNT = text("/count");

export function main(): i32 {
  const mounted = SysMount(spanAddress(TAG), spanBytes(TAG), spanAddress(ROOT), spanBytes(ROOT));
  if (mounted < 0) return failed("{{name}}", "mount", mounted);
  const count = next(COUNT);
  if (count < 0) return failed("{{name}}", "counting", count);
  print(`started ${count} times\n`);
  return 0;
}
