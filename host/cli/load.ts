// Loads all that machines need, part by part: Node opens all files that a module imports at once,
// and the process may have few descriptors.

/** The firmware takes longest, so the rest is loaded meanwhile. */
export async function loadMachines(): Promise<void> {
  const firmware = import("../node/firmware.ts").then(({ loadFirmware }) => loadFirmware());
  firmware.catch(() => {}); // reported below
  await import("../snapshot/machine-state.ts");
  await import("../machine.ts");
  await import("../devices/vsock.ts");
  await import("../devices/fs.ts");
  await import("../node/devices.ts");
  await firmware;
}
