// The driver half of a virtqueue against a device of the test (test/drivers/virtqueue.test.ts): it
// copies what a chain holds into its writable part, and the first byte says when it gives it back.
import { heapInUse, ToroAllocMem, ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { registerInterrupt } from "torito/kernel/interrupt";
import { VirtioDevice } from "torito/drivers/virtio";
import { VirtQueue } from "torito/drivers/virtqueue";

const NOW: u8 = 0; // given back at once
const HOLD: u8 = 1; // kept
const FLUSH: u8 = 2; // given back at once, and all that was kept after it, the newest first

const BASE: u32 = 0x1000_0000;
const IRQ: u32 = 5;
let device: VirtioDevice = changetype<VirtioDevice>(0);
let queue: VirtQueue = changetype<VirtQueue>(0);
let interrupts: u32 = 0;

function onInterrupt(_: usize): void {
  device.acknowledge();
  interrupts++;
}

function setUp(size: u32, segmentsMax: u32): void {
  device = changetype<VirtioDevice>(ToroAllocMem(offsetof<VirtioDevice>()));
  queue = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  assert(device.probe(BASE, IRQ));
  assert(device.begin(0) == 0);
  assert(queue.attach(device, 0, size, segmentsMax) == 0);
  assert(queue.size == size);
  assert(registerInterrupt(IRQ, (onInterrupt as (arg: usize) => void).index, 0));
  assert(!registerInterrupt(IRQ, (onInterrupt as (arg: usize) => void).index, 0));
  assert(!registerInterrupt(32, (onInterrupt as (arg: usize) => void).index, 0));
  device.driverOk();
}

@unmanaged
class Job {
  input: usize;
  output: usize;
  bytes: u32; // in each of its segments
  segments: u32; // readable, and as many writable
}

function submit(command: u8, segments: u32, bytes: u32, seed: u32): Job {
  const job = changetype<Job>(ToroAllocMem(offsetof<Job>()));
  job.bytes = bytes;
  job.segments = segments;
  job.input = ToroGetMem(segments * bytes);
  job.output = ToroAllocMem(segments * bytes);
  for (let i: u32 = 0; i < segments * bytes; i++) store<u8>(job.input + i, <u8>(seed + i * 7));
  store<u8>(job.input, command);
  queue.begin(segments * 2);
  for (let i: u32 = 0; i < segments; i++) queue.readable(job.input + i * bytes, bytes);
  for (let i: u32 = 0; i < segments; i++) queue.writable(job.output + i * bytes, bytes);
  queue.add(changetype<usize>(job));
  queue.kick();
  return job;
}

function check(job: Job): void {
  const bytes = job.segments * job.bytes;
  assert(queue.usedBytes == bytes);
  assert(memory.compare(job.input, job.output, bytes) == 0);
}

export function test_chains_of_every_shape_come_back_with_what_was_written(): void {
  setUp(64, 16);
  for (let segments: u32 = 1; segments <= 8; segments++) {
    for (let bytes: u32 = 1; bytes < 100; bytes += 33) {
      const job = submit(NOW, segments, bytes, segments);
      assert(queue.take() == changetype<usize>(job));
      check(job);
      assert(queue.take() == 0);
      assert(queue.free == 64 && queue.inFlight == 0);
    }
  }
}

export function test_completion_out_of_order_frees_the_right_descriptors(): void {
  setUp(64, 0);
  for (let round: u32 = 0; round < 50; round++) {
    const jobs = ToroAllocMem(40);
    for (let i: u32 = 0; i < 9; i++) {
      const job = submit(HOLD, 1 + (i % 3), 16, round * 10 + i);
      store<usize>(jobs + i * 4, changetype<usize>(job));
    }
    assert(queue.take() == 0);
    assert(queue.inFlight == 9);
    const last = submit(FLUSH, 1, 16, 1);
    assert(queue.take() == changetype<usize>(last));
    for (let i: i32 = 8; i >= 0; i--) {
      assert(queue.take() == load<usize>(jobs + i * 4));
      check(changetype<Job>(load<usize>(jobs + i * 4)));
    }
    assert(queue.free == 64 && queue.inFlight == 0);
  }
}

export function test_a_full_ring_has_no_room_and_all_of_it_comes_back(): void {
  setUp(16, 8);
  let count: u32 = 0;
  while (queue.hasRoom(2)) {
    submit(HOLD, 1, 8, count);
    count++;
  }
  assert(count == 8 || count == 16); // with INDIRECT_DESC a chain takes one descriptor
  assert(!queue.hasRoom(2));
  // The last of them told the device to keep it, so it is freed by a reset only.
  device.fail();
  assert(queue.take() == 0);
  for (; count != 0; count--) assert(queue.reclaim() != 0);
  assert(queue.reclaim() == 0 && queue.inFlight == 0);
}

export function test_a_queue_without_memory_is_an_error_and_leaves_nothing(): void {
  device = changetype<VirtioDevice>(ToroAllocMem(offsetof<VirtioDevice>()));
  queue = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  assert(device.probe(BASE, IRQ) && device.begin(0) == 0);
  const before = heapInUse();
  let taken: usize = 0;
  for (let bytes: usize = 1 << 24; bytes >= 16; bytes >>= 1) {
    for (let p = ToroGetMem(bytes); p != 0; p = ToroGetMem(bytes)) {
      store<usize>(p, taken);
      taken = p;
    }
  }
  for (let status = -12; status != 0; ) {
    status = queue.attach(device, 0, 64, 0);
    assert(status == 0 || status == -12);
    const next = load<usize>(taken);
    ToroFreeMem(taken);
    taken = next;
  }
  while (taken != 0) {
    const next = load<usize>(taken);
    ToroFreeMem(taken);
    taken = next;
  }
  queue.destroy();
  assert(heapInUse() == before);
}

export function test_the_ring_index_wraps_at_65536(): void {
  setUp(8, 0);
  const job = submit(NOW, 1, 32, 5);
  assert(queue.take() == changetype<usize>(job));
  for (let i: u32 = 0; i < 70_000; i++) {
    queue.begin(2);
    queue.readable(job.input, 32);
    queue.writable(job.output, 32);
    queue.add(changetype<usize>(job));
    queue.kick();
    assert(queue.hasUsed());
    assert(queue.take() == changetype<usize>(job));
  }
}

export function test_interrupts_come_only_when_they_are_enabled(): void {
  setUp(8, 0);
  queue.disableInterrupts();
  for (let i: u32 = 0; i < 20; i++) {
    submit(NOW, 1, 8, i);
    queue.take();
  }
  assert(!queue.enableInterrupts());
  submit(NOW, 1, 8, 1);
  // It came while nobody looked: the caller is told to drain again.
  assert(queue.enableInterrupts());
  queue.take();
}

export function interruptCount(): u32 {
  return interrupts;
}

export function panics_a_chain_that_does_not_fit(): void {
  setUp(8, 0);
  queue.begin(9);
}

// Devices that must be refused.

export function test_a_device_without_version_1_is_refused(): void {
  device = changetype<VirtioDevice>(ToroAllocMem(offsetof<VirtioDevice>()));
  assert(device.probe(BASE, IRQ));
  assert(device.begin(0) < 0);
  assert(device.failed);
}

export function test_a_device_without_the_queue_is_refused(): void {
  device = changetype<VirtioDevice>(ToroAllocMem(offsetof<VirtioDevice>()));
  queue = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  assert(device.probe(BASE, IRQ));
  assert(device.begin(0) == 0);
  assert(queue.attach(device, 5, 8, 0) == -19);
  assert(queue.attach(device, 0, 8, 0) == 0);
  assert(queue.attach(device, 0, 8, 0) == -19);
}

export function test_an_empty_slot_is_left_alone(): void {
  const none = changetype<VirtioDevice>(ToroAllocMem(offsetof<VirtioDevice>()));
  assert(!none.probe(0x1000_5000, 9));
  assert(!none.probe(0x7000_0000, 9));
}
