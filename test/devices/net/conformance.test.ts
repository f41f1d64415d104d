// The network device does what the specification says (NW), on every kind of ring.
import { describe, expect, test } from "vitest";
import {
  NetConfig,
  NetHdr,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
} from "../../../abi/net.ts";
import { NetSwitch } from "../../../host/devices/net/switch.ts";
import { NetDevice } from "../../../host/devices/net.ts";
import { card, digests, frame, noise } from "../../support/frames.ts";
import { NetPuppet, netHeader, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";

const TYPE = 0x88b5; // for experiments: IEEE 802, 9.2.4
const toRight = (payload: Uint8Array) => frame(card(2), card(1), TYPE, payload);

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  const both = (a = {}, b = {}) => pair({ rings, ...a }, { rings, ...b });

  test("NW1: offers MAC, MTU and STATUS, and a control queue with what needs it", () => {
    const { device } = new NetPuppet({ rings, offloads: false, mergeable: false });
    const bits = [
      VIRTIO_NET_F_MAC,
      VIRTIO_NET_F_MTU,
      VIRTIO_NET_F_STATUS,
      VIRTIO_NET_F_CTRL_VQ,
      VIRTIO_NET_F_CTRL_RX,
      VIRTIO_NET_F_GUEST_ANNOUNCE,
    ];
    expect(device.features).toBe(bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n));
  });

  test("NW2: has an MTU from 1280 to 65520, which never changes", () => {
    for (const mtu of [0, 67, 1279, 65521, 70000, 1500.5, Number.NaN]) {
      expect(() => new NetPuppet({ rings, mtu })).toThrow(RangeError);
    }
    for (const mtu of [1280, 1500, 65520]) {
      const { device } = new NetPuppet({ rings, mtu });
      const view = new DataView(device.config.buffer);
      expect(view.getUint16(NetConfig.mtu, true)).toBe(mtu);
      device.hasLink = false;
      device.reset();
      expect(view.getUint16(NetConfig.mtu, true)).toBe(mtu);
    }
  });

  test.each([1280, 1500, 9000, 65520])(
    "NW3: carries a frame of MTU %i and its header, and nothing longer, in either direction",
    (mtu) => {
      const room = { mtu, rxBuffer: [12, 65536], rxBuffers: 4 };
      const { left, right } = both(room, room);
      const longest = toRight(noise(mtu));
      left.send(longest, toRight(noise(mtu + 1)));
      expect(digests(right.take())).toEqual(digests([longest]));
      expect(left.device.stats.dropped.tooLong).toBe(1);
    },
  );

  test("NW3: passes no frame on that exceeds the receiver's MTU", () => {
    const { left, right } = both({ mtu: 9000 }, { mtu: 1500, rxBuffer: [65536], rxBuffers: 4 });
    const fits = toRight(noise(1500));
    left.send(toRight(noise(1501)), fits);
    expect(digests(right.take())).toEqual(digests([fits]));
    expect(right.device.stats.dropped.tooLong).toBe(1);
  });

  test("NW4: has the MAC that it was given, as its driver reads it", () => {
    const device = new NetDevice({ network: new NetSwitch(), mac: "06:12:34:AB:cd:ef" });
    expect(Buffer.from(device.config.buffer, NetConfig.mac, 6).toString("hex")).toBe(
      "061234abcdef",
    );
    expect(device.mac).toBe("06:12:34:ab:cd:ef");
    for (const mac of [
      "00:00:00:00:00:00",
      "01:00:5e:00:00:01",
      "ff:ff:ff:ff:ff:ff",
      "02:74",
      "",
    ]) {
      expect(() => new NetDevice({ network: new NetSwitch(), mac }), mac).toThrow(RangeError);
    }
  });

  test("NW5: shows its link in the status, and says when it changes", () => {
    const guest = new NetPuppet({ rings });
    const status = () => new DataView(guest.device.config.buffer).getUint16(NetConfig.status, true);
    expect([status(), guest.device.hasLink]).toEqual([1, true]);
    for (const hasLink of [false, false, true]) {
      guest.device.hasLink = hasLink;
      expect(status()).toBe(hasLink ? 1 : 0);
    }
    expect(guest.configChanges).toBe(2);
  });

  test("NW5: carries nothing while the link is down", () => {
    const { left, right } = both();
    right.device.hasLink = false;
    left.send(toRight(noise(50)));
    right.send(frame(card(1), card(2), TYPE, noise(50)));
    expect([left.take(), right.take()]).toEqual([[], []]);
    expect(right.device.stats.dropped.noLink).toBe(2);
    right.device.hasLink = true;
    left.send(toRight(noise(51)));
    expect(digests(right.take())).toEqual(digests([toRight(noise(51))]));
  });

  test("NW8, NW19, NW21, NW22: puts 12 bytes in front of a frame: one buffer, no flags, no offload", () => {
    const { left, right } = both();
    const sent = toRight(noise(100));
    left.send(sent);
    const [used] = right.used();
    expect(used?.len).toBe(NetHdr.sizeof + sent.length);
    const header = used?.bytes.subarray(0, NetHdr.sizeof) ?? new Uint8Array(0);
    expect([...header]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  });

  test("NW9: takes and fills chains however header and frame are divided over descriptors", () => {
    const sent = toRight(noise(46, 1));
    const whole = Buffer.concat([netHeader(), sent]);
    const cuts = (...at: number[]) => [0, ...at].map((from, i) => whole.subarray(from, at[i]));
    const bytewise = cuts(...Array.from({ length: whole.length - 1 }, (_, i) => i + 1));
    const divisions = [cuts(), cuts(12), cuts(1), cuts(11, 13), cuts(12, 26), cuts(26), bytewise];
    const buffers = [[1526], [12, 1514], [13, 1513], [1, 1, 1525], [26, 1500], Array(72).fill(1)];
    for (const pieces of divisions) {
      for (const rxBuffer of buffers) {
        const { left, right } = both({}, { rxBuffer, rxBuffers: 1 });
        left.sendRaw(pieces);
        expect(digests(right.take())).toEqual(digests([sent]));
      }
    }
  });

  test("NW14: ignores flags that mean nothing, the hint, and checksum fields without the flag", () => {
    const { left, right } = both();
    const odd = { [NetHdr.flags]: 0xfe, [NetHdr.hdr_len]: 0xff, [NetHdr.csum_start]: 0xff };
    left.sendRaw([netHeader(odd), toRight(noise(60))]);
    expect(digests(right.take())).toEqual(digests([toRight(noise(60))]));
  });

  test("NW16: gives chains back with length 0, in the turn in which they were sent", () => {
    const { left } = both();
    left.send(toRight(noise(60)), toRight(noise(61)));
    expect(left.tx.used().map(({ len }) => len)).toEqual([0, 0]);
  });

  test("NW26, NW34: drops a frame that fits no buffer, and keeps them for those that fit", () => {
    const { left, right } = both({}, { rxBuffers: 0 });
    right.post(2, [12 + 60]);
    right.halt();
    const [small, large] = [toRight(noise(40)), toRight(noise(1000))];
    left.send(large, small, large);
    expect(digests(right.take(false))).toEqual(digests([small]));
    expect(right.device.stats.dropped.noFit).toBe(2);
    right.post(1, [12 + 1514]);
    right.halt();
    left.send(large, small);
    expect(digests(right.take(false))).toEqual(digests([large, small]));
  });

  test("NW34: finds a buffer among those of all sizes", () => {
    const { left, right } = both({}, { rxBuffers: 0 });
    const sizes = [64, 1514, 100, 200, 64, 700, 1514, 300];
    for (const bytes of sizes) right.post(1, [12 + bytes]);
    right.halt();
    const frames = [1514, 650, 1514, 250, 180, 90, 64, 64].map((bytes) =>
      toRight(noise(bytes - 14)),
    );
    left.send(...frames);
    expect(digests(right.take(false))).toEqual(digests(frames));
    expect(right.device.stats.dropped.noFit).toBe(0);
  });

  test("fills rings of a thousand frames in order, and counts their bytes", () => {
    const { left, right } = both();
    const sent = Array.from({ length: 1000 }, (_, i) => toRight(noise(30 + (i % 900), i)));
    const got: Buffer[] = [];
    for (const one of sent) {
      left.send(one);
      left.tx.used();
      got.push(...right.take());
    }
    expect(digests(got)).toEqual(digests(sent));
    const bytes = sent.reduce((sum, { length }) => sum + length, 0);
    expect(left.device.stats).toMatchObject({ framesFromGuest: 1000, bytesFromGuest: bytes });
    expect(right.device.stats).toMatchObject({ framesToGuest: 1000, bytesToGuest: bytes });
  });
});
