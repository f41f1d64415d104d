// Split virtqueue, driver half (virtio 2.7). The list of free descriptors is in memory that the
// device never sees. Of the memory that the device writes only the used ring is read, and every
// element is checked against the driver's own records: a device that breaks the rules fails.
import {
  availBytes,
  descBytes,
  Mmio,
  needEvent,
  QUEUE_SIZE_MAX,
  usedBytes,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_USED_F_NO_NOTIFY,
  VirtqAvail,
  VirtqDesc,
  VirtqUsed,
  VirtqUsedElem,
} from "../abi/virtio";
import { Errno } from "../abi/errno";
import { ToroAllocMem, ToroFreeMem } from "../kernel/memory";
import { VirtioDevice } from "./virtio";

/** The driver's record of one descriptor. */
@unmanaged
class Record {
  token: usize; // of the chain that starts here; 0: none
  writable: u32; // bytes that the device may write to that chain
  next: u16; // in the free list, or in the chain
  count: u16; // descriptors of that chain in the table
}

if (VirtqUsedElem.sizeof != 8) ERROR("virtqueue: wrong layout of the used ring");
if (VirtqDesc.sizeof != 16) ERROR("virtqueue: append() shifts by 4");
if (offsetof<Record>() != 12) ERROR("virtqueue: a record has holes");
if (QUEUE_SIZE_MAX > 0x8000) ERROR("virtqueue: ring indices wrap before the ring does");

@unmanaged
export class VirtQueue {
  desc: usize;
  avail: usize;
  used: usize;
  size: u32;
  /** Descriptors that are free. */
  free: u32;
  /** Chains that the device has. */
  inFlight: u32;
  /** Bytes that the device wrote to the chain that take() returned last. */
  usedBytes: u32;
  device: VirtioDevice;
  private index: u32;
  private eventIdx: bool;
  private segmentsMax: u32; // of an indirect table; 0: not negotiated
  private tables: usize; // an indirect table for each head
  private records: usize;
  private firstFree: u32;
  private availIdx: u16; // wraps like the ring's own index
  private kickedIdx: u16; // availIdx at the last kick
  private lastUsed: u16;
  // The chain under construction, from begin() to add().
  private left: u32; // segments to come
  private head: u32;
  private last: usize; // its last descriptor so far, 0: none
  private cursor: usize; // the next entry of its indirect table, 0: direct
  private chainCount: u32;
  private chainWritable: u32;

  /**
   * 4.2.3.2: makes this the device's queue `index`, with up to `sizeMax` entries as the device
   * allows, and indirect tables of up to `segmentsMax`. Returns 0, -ENODEV, -EINVAL or -ENOMEM.
   * destroy() frees the rings.
   */
  attach(device: VirtioDevice, index: u32, sizeMax: u32, segmentsMax: u32): i32 {
    assert(sizeMax != 0, "no entries");
    device.write(Mmio.QueueSel, index);
    if (device.read(Mmio.QueueReady) != 0) return -Errno.ENODEV;
    const offered = device.read(Mmio.QueueSizeMax);
    if (offered == 0 || offered > QUEUE_SIZE_MAX) return -Errno.ENODEV;
    // The largest power of two that both sides allow.
    const size = <u32>1 << (31 - clz(min(offered, sizeMax)));
    const allocated = this.allocate(device, index, size, segmentsMax);
    if (allocated < 0) return allocated;
    device.write(Mmio.QueueSize, size);
    device.write(Mmio.QueueDescLow, <u32>this.desc);
    device.write(Mmio.QueueDescHigh, 0);
    device.write(Mmio.QueueDriverLow, <u32>this.avail);
    device.write(Mmio.QueueDriverHigh, 0);
    device.write(Mmio.QueueDeviceLow, <u32>this.used);
    device.write(Mmio.QueueDeviceHigh, 0);
    device.write(Mmio.QueueReady, 1);
    return device.read(Mmio.QueueReady) == 1 ? 0 : -Errno.EINVAL;
  }

  private allocate(device: VirtioDevice, index: u32, size: u32, segmentsMax: u32): i32 {
    assert((size & (size - 1)) == 0, "not a power of two"); // 2.7
    this.device = device;
    this.index = index;
    this.size = size;
    this.eventIdx = device.has(VIRTIO_F_EVENT_IDX);
    this.segmentsMax = device.has(VIRTIO_F_INDIRECT_DESC) ? min(segmentsMax, size) : 0;
    this.desc = ToroAllocMem(descBytes(size));
    this.avail = ToroAllocMem(availBytes(size));
    this.used = ToroAllocMem(usedBytes(size));
    this.records = ToroAllocMem(size * offsetof<Record>());
    this.tables = ToroAllocMem(size * this.segmentsMax * VirtqDesc.sizeof);
    if (!this.desc || !this.avail || !this.used || !this.records || !this.tables) {
      this.destroy();
      return -Errno.ENOMEM;
    }
    for (let i: u32 = 0; i < size; i++) this.record(i).next = <u16>(i + 1);
    this.free = size;
    return 0;
  }

  /** Frees the rings of a device that has been reset. */
  destroy(): void {
    ToroFreeMem(this.desc);
    ToroFreeMem(this.avail);
    ToroFreeMem(this.used);
    ToroFreeMem(this.records);
    ToroFreeMem(this.tables);
    this.desc = this.avail = this.used = this.records = this.tables = 0;
  }

  private record(i: u32): Record {
    return changetype<Record>(this.records + i * offsetof<Record>());
  }

  /** Is there room for a chain of `segments`? */
  hasRoom(segments: u32): bool {
    return this.free >= (segments > 1 && segments <= this.segmentsMax ? 1 : segments);
  }

  /** The most segments that a chain may have, indirect or not (2.7.5.2). */
  get segments(): u32 {
    return this.size;
  }

  /** Starts a chain of `segments` segments, for which there is room. */
  begin(segments: u32): void {
    assert(this.left == 0, "chain is incomplete");
    assert(segments != 0 && this.hasRoom(segments), "no room for the chain");
    this.left = segments;
    this.last = 0;
    this.chainCount = 0;
    this.chainWritable = 0;
    this.head = this.firstFree;
    this.cursor = 0;
    if (segments > 1 && segments <= this.segmentsMax) {
      const table = this.tables + this.head * this.segmentsMax * VirtqDesc.sizeof;
      const at = this.takeDescriptor();
      store<u64>(at, table, VirtqDesc.addr);
      store<u32>(at, segments * VirtqDesc.sizeof, VirtqDesc.len);
      store<u16>(at, VIRTQ_DESC_F_INDIRECT, VirtqDesc.flags);
      this.cursor = table;
    }
  }

  private takeDescriptor(): usize {
    const i = this.firstFree;
    this.firstFree = this.record(i).next;
    this.free--;
    this.chainCount++;
    return this.desc + i * VirtqDesc.sizeof;
  }

  private append(address: usize, bytes: u32, flags: u32): void {
    assert(this.left != 0, "too many segments");
    assert(flags != 0 || this.chainWritable == 0, "readable after writable"); // 2.7.4.2
    this.left--;
    let at = this.cursor;
    let index: u32 = 0;
    if (at != 0) {
      index = <u32>(at - (this.tables + this.head * this.segmentsMax * VirtqDesc.sizeof)) >> 4;
      this.cursor = at + VirtqDesc.sizeof;
    } else {
      index = this.firstFree;
      at = this.takeDescriptor();
    }
    store<u64>(at, address, VirtqDesc.addr);
    store<u32>(at, bytes, VirtqDesc.len);
    store<u16>(at, flags, VirtqDesc.flags);
    const last = this.last;
    if (last != 0) {
      store<u16>(last, load<u16>(last, VirtqDesc.flags) | VIRTQ_DESC_F_NEXT, VirtqDesc.flags);
      store<u16>(last, index, VirtqDesc.next);
    }
    this.last = at;
  }

  /** Adds a segment that the device reads until take() returns the chain. */
  readable(address: usize, bytes: u32): void {
    this.append(address, bytes, 0);
  }

  /** Adds a segment that the device writes, after all readable ones (2.7.4.2). */
  writable(address: usize, bytes: u32): void {
    this.append(address, bytes, VIRTQ_DESC_F_WRITE);
    this.chainWritable += bytes;
  }

  /** Makes the chain available. take() returns `token`, which is not 0, once it has been used. */
  add(token: usize): void {
    assert(token != 0 && this.left == 0, "chain is incomplete");
    const r = this.record(this.head);
    assert(r.token == 0, "in use");
    r.token = token;
    r.writable = this.chainWritable;
    r.count = <u16>this.chainCount;
    const slot = this.avail + ((<u32>this.availIdx & (this.size - 1)) << 1);
    store<u16>(slot, <u16>this.head, VirtqAvail.ring);
    this.availIdx++;
    // The entry before the index: the device may look at any time (2.7.13.3).
    store<u16>(this.avail, this.availIdx, VirtqAvail.idx);
    this.inFlight++;
  }

  /** Notifies the device of added chains if it asked for that (2.7.10). */
  kick(): void {
    const old: u32 = this.kickedIdx;
    const current: u32 = this.availIdx;
    if (old == current || this.device.failed) return;
    this.kickedIdx = this.availIdx;
    let wanted = false;
    if (this.eventIdx) {
      const event: u32 = load<u16>(this.used + this.size * VirtqUsedElem.sizeof, VirtqUsed.ring);
      wanted = needEvent(event, current, old);
    } else {
      wanted = (load<u16>(this.used, VirtqUsed.flags) & VIRTQ_USED_F_NO_NOTIFY) == 0;
    }
    if (wanted) this.device.write(Mmio.QueueNotify, this.index);
  }

  /**
   * The token of the next used chain, whose descriptors are free again. 0: there is none, or the
   * device broke the rules and has failed.
   */
  take(): usize {
    const pending: u32 = <u16>(load<u16>(this.used, VirtqUsed.idx) - this.lastUsed);
    if (pending == 0 || this.device.failed) return 0;
    if (pending > this.inFlight) return this.broken();
    const slot =
      this.used + (<u32>this.lastUsed & (this.size - 1)) * VirtqUsedElem.sizeof + VirtqUsed.ring;
    const head = load<u32>(slot, VirtqUsedElem.id);
    const bytes = load<u32>(slot, VirtqUsedElem.len);
    if (head >= this.size) return this.broken();
    const r = this.record(head);
    const token = r.token;
    if (token == 0 || bytes > r.writable) return this.broken();
    this.lastUsed++;
    this.inFlight--;
    this.usedBytes = bytes;
    r.token = 0;
    // The chain's descriptors are linked already: the whole chain goes to the front of the free
    // list.
    let last = head;
    for (let i: u32 = 1; i < r.count; i++) last = this.record(last).next;
    this.record(last).next = <u16>this.firstFree;
    this.firstFree = head;
    this.free += r.count;
    assert(this.free + this.inFlight <= this.size, "wrong count");
    return token;
  }

  /** After a reset: the token of a chain that the device did not use, or 0 when there is none. */
  reclaim(): usize {
    assert(this.device.failed, "device is live");
    if (this.inFlight == 0) return 0;
    let i: u32 = 0;
    while (this.record(i).token == 0) i++;
    const token = this.record(i).token;
    this.record(i).token = 0;
    this.inFlight--;
    return token;
  }

  private broken(): usize {
    this.device.fail();
    return 0;
  }

  /**
   * Asks for an interrupt at the next used chain. Returns true if there is one already, for which
   * no interrupt will come: the caller has to drain again (2.7.7).
   */
  enableInterrupts(): bool {
    if (this.eventIdx) {
      store<u16>(this.avail + (this.size << 1), this.lastUsed, VirtqAvail.ring);
    } else {
      store<u16>(this.avail, 0, VirtqAvail.flags);
    }
    return load<u16>(this.used, VirtqUsed.idx) != this.lastUsed;
  }

  /** Asks for no interrupts until enableInterrupts(). */
  disableInterrupts(): void {
    // With EVENT_IDX the flag must stay 0 (2.7.10.1); an event index in the past has the same
    // effect.
    if (!this.eventIdx) store<u16>(this.avail, VIRTQ_AVAIL_F_NO_INTERRUPT, VirtqAvail.flags);
  }

  /** Is there a used chain to take? */
  hasUsed(): bool {
    return load<u16>(this.used, VirtqUsed.idx) != this.lastUsed;
  }
}
