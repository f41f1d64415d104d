// Those who look at packets may come late: when an inspector is asked for, the driver has long been
// there.
import { expect, test } from "vitest";
import { VsockHdr, VsockOp } from "../../../abi/vsock.ts";
import type { DeviceTrace } from "../../../host/device.ts";
import type { PacketTap } from "../../../host/devices/vsock/rings/tap.ts";
import { vsockName } from "../../../host/operation-names.ts";
import type { Chain } from "../../../host/virtqueue.ts";
import { bootPublished, type Packet } from "../../support/vsock-puppet.ts";

const trace = { isOn: false } as DeviceTrace;

/** Notes what it sees, and passes it on. */
function note(seen: string[], name: string, next: PacketTap | null): PacketTap {
  const op = (parts: readonly Uint8Array[]) =>
    vsockName(Buffer.concat(parts).readUInt16LE(VsockHdr.op));
  return {
    fromGuest(chain: Chain) {
      seen.push(`${name}: ${op(chain.readable(0, VsockHdr.sizeof))} from guest`);
      next?.fromGuest(chain);
    },
    toGuest(chain: Chain, written: number) {
      seen.push(`${name}: ${op(chain.writable(0, VsockHdr.sizeof))} to guest`);
      next?.toGuest(chain, written);
    },
  };
}

test("a tap that comes late sees packets both ways, before the one that was there", async () => {
  const seen: string[] = [];
  const puppet = await bootPublished({ trace, capture: note(seen, "capture", null) });
  puppet.device.tapPackets((_, next) => note(seen, "late", next));
  puppet.network.client();
  const [request] = puppet.take() as [Packet];
  puppet.send({ op: VsockOp.RST, hostPort: request.hostPort });
  expect(seen).toEqual([
    "late: REQUEST to guest",
    "capture: REQUEST to guest",
    "late: RST from guest",
    "capture: RST from guest",
  ]);
});
