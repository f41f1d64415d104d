// Archives as files in memory: those of tar, and those that nobody should trust.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { readTar } from "../../../host/browser/tar.ts";
import { writeTar } from "../../../tools/tar.mjs";
import { makeFolder, removeFolders } from "../../support/appliance.ts";

afterAll(removeFolders);

const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString());

test("the archive of a site has its files, and times that are the same every time", () => {
  const files = readTar(
    writeTar({ "index.html": Buffer.from("home"), "img/a.svg": Buffer.alloc(0) }),
  );
  expect(files.paths().sort()).toEqual(["img/a.svg", "index.html"]);
  expect(text(files.readFile("index.html"))).toBe("home");
  const { inode, stat } = files.hold(files.root("/"), Buffer.from("index.html"));
  expect(stat.mtimeNs).toBe(BigInt(Date.UTC(2000, 0, 1)) * 1_000_000n);
  files.drop(inode);
});

test.each(["gnu", "pax", "ustar", "v7"])("an archive of tar is read (%s)", (format) => {
  const folder = makeFolder();
  const long = "directory-".repeat(8);
  const deep = format === "gnu" || format === "pax" ? `${long}/${long}/${long}` : long;
  mkdirSync(`${folder}/${deep}`, { recursive: true });
  writeFileSync(`${folder}/${deep}/naïve.txt`, "x".repeat(1000));
  writeFileSync(`${folder}/top.txt`, "top");
  const archive = execFileSync("tar", [`--format=${format}`, "-cf", "-", "-C", folder, "."]);
  const files = readTar(archive);
  expect(files.paths().sort()).toEqual([`${deep}/naïve.txt`, "top.txt"]);
  expect(text(files.readFile(`${deep}/naïve.txt`))).toBe("x".repeat(1000));
});

describe("an archive that is damaged or hostile is refused", () => {
  const good = writeTar({ "a.txt": Buffer.from("a") });
  const withName = (name: string) => writeTar({ [name]: Buffer.from("a") });
  const changed = (at: number, bytes: string) => {
    const copy = Buffer.from(good);
    copy.write(bytes, at, "latin1");
    copy.write(" ".repeat(8), 148);
    const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    copy.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return copy;
  };
  test.each<[string, Uint8Array, string]>([
    ["no archive", Buffer.alloc(1024, "x"), "no octal number"],
    ["a wrong checksum", Buffer.from(good).fill("b", 0, 1), "no header at byte 0"],
    ["a path to the parent", withName("../a"), "outside of the archive"],
    ["a path from the root", withName("/etc/passwd"), "outside of the archive"],
    ["a content that is cut off", changed(124, "77777777777"), "cut off"],
    ["a size that is no number", changed(124, "-0000000001"), "no octal number"],
    [
      "a long name that is very long",
      changed(124, "00000400000\x00").fill("L", 156, 157),
      "no header",
    ],
  ])("%s", (_, archive, message) => {
    expect(() => readTar(archive)).toThrow(message);
  });

  test("a file beyond the limit of memory", () => {
    const archive = writeTar({ "a.txt": Buffer.alloc(100_000) });
    expect(() => readTar(archive, { bytesMax: 50_000 })).toThrow("ENOSPC");
  });
});
