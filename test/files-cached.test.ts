// What the guest believes after changes of its own, against a scripted device: nothing that it
// could know better.
import { expect, test } from "vitest";
import { FuseAttr, FuseAttrOut, FuseOpcode } from "../drivers/abi/fuse.ts";
import { fileGuests } from "./file-guest.ts";
import { attributes } from "./fs-script.ts";
import { writableFs } from "./fs-write-script.ts";

const boot = await fileGuests();

test("through a symbolic link to the root, attributes are the root's of now", async () => {
  let size = 0n;
  const device = writableFs(({ opcode, nodeid }) => {
    if (opcode === FuseOpcode.READLINK) return { payload: Buffer.from("//") };
    if (opcode !== FuseOpcode.GETATTR || nodeid !== 1) return undefined;
    const payload = attributes(1);
    new DataView(payload.buffer).setBigUint64(FuseAttrOut.attr + FuseAttr.size, ++size, true);
    return { payload };
  });
  const g = await boot({ device });
  expect(g.stat("/")).toMatchObject({ size: 1n });
  g.advance(1000);
  expect(g.stat("/link")).toMatchObject({ size: 2n });
  expect(g.stat("/link/")).toMatchObject({ size: 2n });
});
