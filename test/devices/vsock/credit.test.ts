// Credit arithmetic of one vsock connection: u32 counters that wrap (virtio 5.10.6.3).
import { expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { Credit } from "../../../host/devices/vsock/connection/credit.ts";
import { GuestPacket, HostPacket } from "../../../host/devices/vsock/rings/packet.ts";

function told(bufAlloc: number, fwdCnt: number): GuestPacket {
  return Object.assign(new GuestPacket(), { bufAlloc, fwdCnt });
}

test("V6: credit for the guest survives the wrap of its counters", () => {
  const credit = new Credit(1000);
  credit.learn(told(0xffffffff, 0));
  credit.sent(0xfffffff0);
  expect(credit.learn(told(100, 0xfffffff0))).toBe(true);
  credit.sent(60);
  expect(credit.available).toBe(40);
  expect(credit.learn(told(100, 44))).toBe(true);
  expect(credit.available).toBe(100);
});

test("V35: the limit on the guest's bytes survives the wrap of its counters", () => {
  const credit = new Credit(0x80000000);
  for (let i = 0; i < 3; i++) {
    expect(credit.take(0x80000000)).toBe(true);
    expect(credit.take(1)).toBe(false);
    credit.consumed(0x80000000);
  }
  const packet = new HostPacket();
  credit.stamp(packet);
  expect(packet.fwdCnt).toBe(0x80000000);
});

test("V36, K10: credit is 0, not negative, when the window shrinks below the bytes in flight", () => {
  const credit = new Credit(1000);
  credit.learn(told(500, 0));
  credit.sent(400);
  credit.learn(told(100, 0));
  expect(credit.available).toBe(0);
});

test("K9: ignores an impossible fwd_cnt", () => {
  const credit = new Credit(1000);
  credit.learn(told(500, 0));
  credit.sent(10);
  expect(credit.learn(told(500, 11))).toBe(false);
  expect(credit.learn(told(500, 0xffffffff))).toBe(false);
  expect(credit.available).toBe(490);
  expect(credit.learn(told(500, 10))).toBe(true);
  expect(credit.learn(told(500, 9))).toBe(false);
  expect(credit.available).toBe(500);
});

test("V39: an update is due once the guest believes that less than a packet fits", () => {
  const credit = new Credit(256 * 1024);
  for (let taken = 65536; taken <= 192 * 1024; taken += 65536) {
    credit.take(65536);
    credit.consumed(65536);
    expect(credit.updateDue).toBe(false);
  }
  credit.take(1);
  expect(credit.updateDue).toBe(true);
  credit.stamp(new HostPacket());
  expect(credit.updateDue).toBe(false);
});

test("after CREDIT_REQUEST an update follows every step, until all is consumed or the guest sends", () => {
  const credit = new Credit(256 * 1024);
  const packet = new HostPacket();
  const step = () => {
    credit.consumed(1000);
    const due = credit.updateDue;
    if (due) credit.stamp(packet);
    return due;
  };
  credit.take(3000);
  expect(step()).toBe(false);
  credit.asked(VsockOp.CREDIT_REQUEST);
  expect([step(), step()]).toEqual([true, true]);
  credit.take(2000);
  credit.asked(VsockOp.CREDIT_REQUEST);
  expect(step()).toBe(true);
  credit.take(1000);
  expect(step()).toBe(false);
});
