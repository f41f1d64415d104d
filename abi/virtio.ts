// Virtio core: MMIO transport and split virtqueue, as both sides see them. Section numbers are
// those of VIRTIO 1.2, here and wherever the project cites "virtio". Files in this folder are
// compiled by asc and by tsc: const enums, integer constants and u32 formulas only; bit numbers,
// not masks.

/** 4.2.2 MMIO Device Register Layout. Byte offsets; 32-bit registers. */
export const enum Mmio {
  MagicValue = 0x000, // R
  Version = 0x004, // R
  DeviceID = 0x008, // R, 0: the slot is empty
  VendorID = 0x00c, // R
  DeviceFeatures = 0x010, // R, the 32 bits chosen by DeviceFeaturesSel
  DeviceFeaturesSel = 0x014, // W
  DriverFeatures = 0x020, // W, the 32 bits chosen by DriverFeaturesSel
  DriverFeaturesSel = 0x024, // W
  QueueSel = 0x030, // W
  QueueSizeMax = 0x034, // R, 0: this queue does not exist
  QueueSize = 0x038, // W
  QueueReady = 0x044, // RW
  QueueNotify = 0x050, // W, queue index
  InterruptStatus = 0x060, // R
  InterruptACK = 0x064, // W
  Status = 0x070, // RW, writing 0 resets the device
  QueueDescLow = 0x080, // W
  QueueDescHigh = 0x084, // W
  QueueDriverLow = 0x090, // W
  QueueDriverHigh = 0x094, // W
  QueueDeviceLow = 0x0a0, // W
  QueueDeviceHigh = 0x0a4, // W
  SHMSel = 0x0ac, // W
  SHMLenLow = 0x0b0, // R, all ones: no such region
  SHMLenHigh = 0x0b4, // R
  SHMBaseLow = 0x0b8, // R
  SHMBaseHigh = 0x0bc, // R
  ConfigGeneration = 0x0fc, // R
  Config = 0x100, // device specific, natural width of each field
}

export const MMIO_MAGIC = 0x74726976; // "virt"
export const MMIO_VERSION = 2;
/** Bytes of one device's window on the bus. */
export const MMIO_WINDOW = 0x200;

/** 4.2.2 InterruptStatus bits. */
export const INTERRUPT_USED_BUFFER = 1;
export const INTERRUPT_CONFIG_CHANGE = 2;

/** 2.1 Device Status Field. */
export const enum Status {
  ACKNOWLEDGE = 1,
  DRIVER = 2,
  DRIVER_OK = 4,
  FEATURES_OK = 8,
  DEVICE_NEEDS_RESET = 64,
  FAILED = 128,
}

/** 6 Reserved Feature Bits. Bit numbers. */
export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;

/** 5 Device Types. */
export const VIRTIO_ID_NET = 1;
export const VIRTIO_ID_VSOCK = 19;
export const VIRTIO_ID_FS = 26;

/** 2.7 Split Virtqueues: the largest queue. */
export const QUEUE_SIZE_MAX: u32 = 32768;

/** 2.7.5 struct virtq_desc. Byte offsets. */
export const enum VirtqDesc {
  addr = 0, // le64
  len = 8, // le32
  flags = 12, // le16
  next = 14, // le16
  sizeof = 16,
}
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2; // device writes
export const VIRTQ_DESC_F_INDIRECT = 4;

/** 2.7.6 struct virtq_avail. Byte offsets. used_event follows the ring. */
export const enum VirtqAvail {
  flags = 0, // le16
  idx = 2, // le16, driver increments, never wraps to the queue size
  ring = 4, // le16 each
}
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

/** 2.7.8 struct virtq_used. Byte offsets. avail_event follows the ring. */
export const enum VirtqUsed {
  flags = 0, // le16
  idx = 2, // le16, device increments, never wraps to the queue size
  ring = 4, // struct virtq_used_elem each
}
export const VIRTQ_USED_F_NO_NOTIFY = 1;

/** 2.7.8 struct virtq_used_elem. Byte offsets. */
export const enum VirtqUsedElem {
  id = 0, // le32, head of the used chain
  len = 4, // le32, bytes that the device wrote
  sizeof = 8,
}

/** 2.7 Bytes of the three parts of a queue; the last two include their event index. */
export function descBytes(queueSize: u32): u32 {
  return queueSize * 16;
}
export function availBytes(queueSize: u32): u32 {
  return 6 + queueSize * 2;
}
export function usedBytes(queueSize: u32): u32 {
  return 6 + queueSize * 8;
}

/** 2.7.10 vring_need_event: did moving an index from `old` to `current` pass `event`? */
export function needEvent(event: u32, current: u32, old: u32): bool {
  return ((current - event - 1) & 0xffff) < ((current - old) & 0xffff);
}
