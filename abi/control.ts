// The control block: what the host tells the guest about its service while it runs. The host
// writes it between two entries, the guest only reads. The boot information says where it is.

export const CONTROL_BLOCK_ADDRESS = 0x2100;

/** Byte offsets. */
export const enum ControlBlock {
  draining = 0, // u32, 1: the machine is going away, and connections end with their next answer
  settingsGeneration = 4, // u32, counts how often the settings have changed; wraps
  sizeof = 8,
}
