// Snapshots in files: written and read, refused when they are of something else, and when they are
// damaged, with the place.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { sha256 } from "../../host/node/platform.ts";
import { Snapshot } from "../../host/node/snapshot.ts";
import { decodeSnapshot, encodeSnapshot } from "../../host/snapshot/file.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { savedGuest } from "../support/guest.ts";
import { fingerprint, Site, webServer } from "../support/snapshot-site.ts";

let directory: string;
let snapshot: Snapshot;
let file: Uint8Array;
beforeAll(async () => {
  directory = makeFolder();
  mkdirSync(`${directory}/site`);
  writeFileSync(`${directory}/site/index.html`, "home");
  const site = await Site.boot(`${directory}/site`);
  site.connect().get("/");
  snapshot = await site.machine.snapshot();
  file = encodeSnapshot(snapshot, sha256);
});
afterAll(removeFolders);

const decode = (bytes: Uint8Array) => decodeSnapshot(bytes, sha256);
const changed = (change: (bytes: Uint8Array) => void) => {
  const bytes = file.slice();
  change(bytes);
  return bytes;
};

describe("a file", () => {
  test("SN1 has the same bytes after it was read and written again", () => {
    expect(Buffer.from(encodeSnapshot(decode(file), sha256)).equals(file)).toBe(true);
    expect(fingerprint(decode(file))).toBe(fingerprint(snapshot));
  });

  test("is restored, with the image beside it", async () => {
    const image = webServer;
    const site = await Site.restore(decode(file), `${directory}/site`, { image });
    expect(site.get("/")).toContain("home");
    expect(site.faults()).toBe(0);
    const again = encodeSnapshot(await site.machine.snapshot(), sha256);
    const clone = await Site.restore(decode(again), `${directory}/site`, { image });
    expect(clone.get("/")).toContain("home");
  });

  test("is its owner's alone, replaces another, and leaves nothing beside it", async () => {
    const folder = makeFolder();
    const path = `${folder}/warm.torito`;
    writeFileSync(path, "another", { mode: 0o644 });
    await snapshot.save(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["warm.torito"]);
    expect(fingerprint(await Snapshot.load(path))).toBe(fingerprint(snapshot));
  });

  test("that cannot be written leaves what was there", async () => {
    const folder = makeFolder();
    mkdirSync(`${folder}/taken`);
    await expect(snapshot.save(`${folder}/taken`)).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(["taken"]);
    await expect(snapshot.save(`${folder}/none/file`)).rejects.toThrow("ENOENT");
  });

  test("holds the pages in use: far less than the memory", () => {
    expect(file.length).toBeLessThan(2 << 20);
    expect(snapshot.memoryBytes).toBe(16 << 20);
    expect(snapshot.bytes).toBe(snapshot.content.pages.length);
  });
});

describe("SN12 refused, and named", () => {
  const head = () => new DataView(file.buffer).getUint32(12, true);
  test.each<[string, () => Uint8Array, RegExp]>([
    ["an empty file", () => new Uint8Array(0), /this is no snapshot/],
    ["another file", () => readFileSync("package.json"), /this is no snapshot/],
    ["another version", () => changed((bytes) => bytes.set([9], 8)), /of version 9, .* version 1/],
    [
      "a head that is too long",
      () => changed((bytes) => bytes.set([255], 15)),
      /a head of \d+ bytes/,
    ],
    ["a byte of the head", () => changed((bytes) => bytes.set([0], 100)), /its head is damaged/],
    [
      "a byte of its checksum",
      () => changed((b) => b.set([b[16 + head()]! ^ 1], 16 + head())),
      /its head/,
    ],
    ["the head cut off", () => file.slice(0, 200), /cut off in its head/],
    ["pages cut off", () => file.slice(0, -1), /cut off: \d+ of \d+ bytes/],
    ["bytes added", () => Buffer.concat([file, Buffer.alloc(7)]), /7 bytes follow its end/],
    [
      "the last byte",
      () => changed((b) => b.set([b.at(-1)! ^ 1], b.length - 1)),
      /pages 0 to \d+ of it/,
    ],
  ])("%s", (_, spoiled, message) => {
    expect(() => decode(spoiled())).toThrow(message);
    expect(() => decode(spoiled())).toThrow(
      expect.objectContaining({ code: "ERR_SNAPSHOT_DAMAGED" }),
    );
  });

  test("every byte of it counts", () => {
    for (let at = 0; at < file.length; at += 997) {
      expect(() => decode(changed((bytes) => bytes.set([bytes[at]! ^ 0x10], at)))).toThrow(
        "snapshot:",
      );
    }
  });
});

describe("SN11 refused: a snapshot of", () => {
  const restore = (options: object) => Site.restore(decode(file), `${directory}/site`, options);

  test("another image", async () => {
    const { wasm } = await savedGuest("test/guest/snapshots.ts");
    await expect(restore({ image: wasm })).rejects.toMatchObject({
      code: "ERR_SNAPSHOT_IMAGE",
      message: `snapshot: it is of the image ${sha256(webServer).slice(0, 12)}, not ${sha256(
        wasm,
      ).slice(0, 12)}`,
    });
  });

  test("an image that was not given", async () => {
    await expect(restore({})).rejects.toMatchObject({
      code: "ERR_SNAPSHOT_IMAGE",
      message: `snapshot: its image is needed, which is ${sha256(webServer).slice(0, 12)}`,
    });
  });

  test("an image that was given as a module", async () => {
    const image = new WebAssembly.Module(webServer);
    const error = {
      code: "ERR_SNAPSHOT_IMAGE",
      message: expect.stringMatching(/bytes are needed/),
    };
    await expect(restore({ image })).rejects.toMatchObject(error);
    const site = await Site.boot(`${directory}/site`, { image });
    await expect(site.machine.snapshot()).rejects.toMatchObject(error);
  });

  test("other devices", async () => {
    const devices = [new VsockDevice({})];
    await expect(
      Machine.restore(decode(file), { image: webServer, devices }),
    ).rejects.toMatchObject({
      code: "ERR_SNAPSHOT_MACHINE",
      message: "snapshot: it has the devices vsock, fs site, not vsock",
    });
  });

  test("devices with other queues, another window, fewer features", async () => {
    const image = webServer;
    for (const options of [
      { image, fs: { requestQueues: 2 } },
      { image, fs: { windowBytes: 1 << 20 } },
    ]) {
      await expect(restore(options)).rejects.toMatchObject({
        code: "ERR_SNAPSHOT_MACHINE",
        message: "snapshot: its device fs site has other queues or another window",
      });
    }
    await expect(restore({ image, withheldFeatures: 1n << 29n })).rejects.toMatchObject({
      message: "snapshot: vsock: it does not offer what its driver has accepted",
    });
  });

  test("a machine with another size of memory, when a machine goes back", async () => {
    const site = await Site.boot(`${directory}/site`, { memoryBytes: 32 << 20 });
    expect(() => site.machine.rewind(snapshot)).toThrow(
      "snapshot: it is of 16777216 bytes of memory, not 33554432",
    );
    expect(site.get("/")).toContain("home");
  });
});

test("an image beside a file is compiled once, however many machines are restored with it", async () => {
  const loaded = decode(file);
  const machines = [];
  for (let i = 0; i < 3; i++) {
    const image = webServer.slice();
    machines.push((await Site.restore(loaded, `${directory}/site`, { image })).machine);
  }
  expect(loaded.content.image.module).not.toBeNull();
  expect(new Set(machines.map(({ memory }) => memory)).size).toBe(3);
  const last = await machines.at(-1)!.snapshot();
  expect(last.content.image.module).toBe(loaded.content.image.module);
});
