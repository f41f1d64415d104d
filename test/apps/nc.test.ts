// nc refuses what it cannot send; network-page.test.ts and tcp-linux.test.ts have its transfers.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";

test.each(["5GB", "-1", "1e9", "99999999999999999999", ""])(
  "bytes=%s is an error, and no wish to receive",
  async (bytes) => {
    let said = "";
    const machine = await Machine.create({
      image: readFileSync("build/nc.wasm"),
      memoryBytes: 16 << 20,
      parameters: `to=2 bytes=${bytes}`,
      devices: [new VsockDevice()],
      console: (text) => {
        said += text;
      },
    });
    machine.boot();
    expect(await machine.exited).toMatchObject({ kind: "power-off", code: 1 });
    expect(said).toContain("nc: bytes=");
  },
);
