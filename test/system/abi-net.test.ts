// The numbers of virtio-net against Linux's header, as a C compiler sees them: feature bits, flags,
// classes and commands have the names of the specification on both sides.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { witness } from "../support/outside-program.ts";

afterAll(removeFolders);

witness("cc", "every number of virtio-net is that of Linux's header", async () => {
  const source = readFileSync("abi/net.ts", "utf8");
  const ours = [...source.matchAll(/^export const (VIRTIO_NET_\w+) = (\d+);/gm)].map(
    ([, name, value]) => `${name} ${value}`,
  );
  expect(ours.length).toBeGreaterThan(25);
  const names = ours.map((line) => line.split(" ")[0]);
  const folder = makeFolder();
  const program = `#include <stdio.h>
#include <linux/virtio_net.h>
int main(void) {
${names.map((name) => `  printf("${name} %lld\\n", (long long)(${name}));`).join("\n")}
  return 0;
}
`;
  writeFileSync(join(folder, "net.c"), program);
  execFileSync("cc", ["-o", join(folder, "net"), join(folder, "net.c")], { stdio: "pipe" });
  const theirs = execFileSync(join(folder, "net"), { encoding: "utf8" }).trim().split("\n");
  expect(ours).toEqual(theirs);
});
