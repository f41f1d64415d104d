// The wire against Linux's own headers, as a C compiler sees them: offsets, sizes and numbers. It
// looks at nothing but values; names on both sides are those of the specification.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { witness } from "../support/outside-program.ts";

afterAll(removeFolders);

/** Ours, and the C structure that has the same fields. */
const STRUCTURES = new Map([
  ["FuseSetupmappingIn", "fuse_setupmapping_in"],
  ["FuseRemovemappingIn", "fuse_removemapping_in"],
  ["FuseRemovemappingOne", "fuse_removemapping_one"],
  ["FuseStatfsOut", "fuse_kstatfs"],
  ["FsConfig", "virtio_fs_config"],
  ["NetConfig", "virtio_net_config"],
  ["NetHdr", "virtio_net_hdr_v1"],
  ["EthernetHdr", "ethhdr"],
  ["ArpHdr", "arphdr"],
  ["EtherArp", "ether_arp"],
  ["IpHdr", "iphdr"],
  ["IcmpHdr", "icmphdr"],
  ["UdpHdr", "udphdr"],
  ["VsockConfig", "virtio_vsock_config"],
  ["VsockHdr", "virtio_vsock_hdr"],
  ["VirtqDesc", "vring_desc"],
  ["VirtqUsedElem", "vring_used_elem"],
]);
/** Ours, and what stands in front of its names in C; those of flags are bit numbers here. */
const NUMBERS = new Map([
  ["FuseOpcode", { prefix: "FUSE_", isBit: false }],
  ["FuseInitFlag", { prefix: "FUSE_", isBit: true }],
  ["FuseSetattrValid", { prefix: "FATTR_", isBit: true }],
  ["FuseWriteFlag", { prefix: "FUSE_WRITE_", isBit: true }],
  ["Errno", { prefix: "", isBit: false }],
]);
/** Extensions that headers of Debian do not have yet, and structures that are not in any. */
const UNKNOWN = new Set(["FUSE_STATX", "FUSE_COPY_FILE_RANGE_64", "FUSE_TMPFILE"]);
/** Of these only some fields are structures of their own in C. */
const OURS_ALONE = /^(FuseSetxattrIn|FuseDirentplus|FuseType|FuseSetupmappingFlag)$/;

interface Constant {
  group: string;
  name: string;
  value: number;
}

function constants(): Constant[] {
  const found: Constant[] = [];
  for (const file of readdirSync("abi")) {
    const source = readFileSync(`abi/${file}`, "utf8");
    for (const [, group, body] of source.matchAll(/^export const enum (\w+) \{\n([^}]*)\}/gm)) {
      for (const [, name, value] of (body as string).matchAll(/^ {2}(\w+) = (\w+),/gm)) {
        found.push({ group: group as string, name: name as string, value: Number(value) });
      }
    }
  }
  return found;
}

const snake = (name: string) => name.replace(/(?<!^)([A-Z])/g, "_$1").toLowerCase();

/** A C expression with the value that ours should have; null: the headers have none. */
function inC({ group, name }: Constant): string | null {
  const numbers = NUMBERS.get(group);
  if (numbers !== undefined) {
    const symbol = `${numbers.prefix}${name}`;
    if (UNKNOWN.has(symbol)) return null;
    return numbers.isBit ? `__builtin_ctzll(${symbol})` : symbol;
  }
  const isFuse = /^Fuse[A-Z]/.test(group) && !OURS_ALONE.test(group);
  const structure = STRUCTURES.get(group) ?? (isFuse ? snake(group) : null);
  if (structure === null) return null;
  if (name === "sizeof") return `sizeof(struct ${structure})`;
  return `offsetof(struct ${structure}, ${name})`;
}

witness("cc", "every offset, size and number of the wire is that of Linux's headers", async () => {
  const folder = makeFolder();
  const known = constants().flatMap((one) => {
    const expression = inC(one);
    return expression === null ? [] : [{ ...one, expression }];
  });
  const source = `#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <linux/fuse.h>
#include <linux/icmp.h>
#include <linux/udp.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
int main(void) {
${known.map(({ expression }) => `  printf("%lld\\n", (long long)(${expression}));`).join("\n")}
  return 0;
}
`;
  writeFileSync(join(folder, "abi.c"), source);
  execFileSync("cc", ["-o", join(folder, "abi"), join(folder, "abi.c")], { stdio: "pipe" });
  const values = execFileSync(join(folder, "abi"), { encoding: "utf8" }).trim().split("\n");
  const ours = known.map(({ group, name, value }) => `${group}.${name} = ${value}`);
  const theirs = known.map(({ group, name }, i) => `${group}.${name} = ${values[i]}`);
  expect(ours).toEqual(theirs);
  expect(known.length).toBeGreaterThan(250);
});
