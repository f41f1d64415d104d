// The table of nodes: inodes that are not held are found again by name, whatever the names are.
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import type { Node } from "../../../host/devices/fs/nodes/node.ts";
import { NodeTable } from "../../../host/devices/fs/nodes/node-table.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";

let directory: string;
beforeEach(() => {
  directory = makeFolder();
});
afterEach(removeFolders);

const NO_TARGET = new Uint8Array(0);
const DIRECTORY = 0o040755n;
const stale = expect.objectContaining({ result: -Errno.ESTALE });

function table() {
  const nodes = new NodeTable(hostFiles(), directory, 10_000, () => 0);
  const revive = (id: number, ino: bigint) =>
    nodes.revive(id, { ...nodes.root.stat, mode: DIRECTORY, ino }, NO_TARGET);
  return { nodes, revive };
}

test("a directory that is in itself, by earlier names, is stale, and no endless search", () => {
  const { revive } = table();
  const [a, b, c] = [revive(2, 2n), revive(3, 3n), revive(4, 4n)];
  const name = Buffer.from("d");
  a.place = { parent: b, name };
  b.place = { parent: c, name };
  c.place = { parent: a, name };
  c.places = [{ parent: b, name }];
  for (const node of [a, b, c]) expect(() => node.inode).toThrow(stale);
});

test("thousands of directories in each other, none of which is held, are found again", () => {
  const { nodes } = table();
  const DEPTH = 2000;
  let node: Node = nodes.root;
  const files = hostFiles();
  for (let i = 0; i < DEPTH; i++) {
    const name = Buffer.from("d");
    files.makeDirectory(node.inode, name, 0o755);
    const next = nodes.lookup(node, name) as Node;
    if (node !== nodes.root) nodes.letGo(node);
    node = next;
  }
  nodes.letGo(node);
  expect(node.inode).toBeGreaterThanOrEqual(0);
  nodes.clear();
  execFileSync("rm", ["-r", directory]); // Node would run out of stack
});
