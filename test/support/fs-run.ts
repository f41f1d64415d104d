// Runs file calls of the guest, given as letters (test/guest/fs-driver.ts), against a scripted
// device.
import { type Answer, type Request, ScriptedFs, type ScriptOptions } from "./fs-script.ts";
import { compileGuest, runGuest } from "./guest.ts";

const image = await compileGuest("test/guest/fs-driver.ts");
/** Stands for an open that succeeded. */
export const HANDLE = 1_000_000;

export interface Outcome {
  results: number[];
  device: ScriptedFs;
  /** Bytes that the last read left in the buffer. */
  text: (bytes: number) => string;
}

/** Runs the calls `ops` in one thread, and `then` in the one that ">" begins. */
export async function run(ops: string, options: ScriptOptions = {}, then = ""): Promise<Outcome> {
  const device = new ScriptedFs(options);
  const parameters = `root=${options.tag ?? "site"} ops=${ops} then=${then}`;
  const { machine } = await runGuest(image, "test_script", { parameters, devices: [device] });
  const at = machine.global("results");
  const count = machine.memory.view.getUint32(at, true);
  const results = Array.from({ length: count }, (_, i) =>
    machine.memory.view.getInt32(at + 4 + i * 4, true),
  );
  const text = (bytes: number) =>
    Buffer.from(machine.memory.bytes(machine.global("buffer"), bytes)).toString("latin1");
  return { results, device, text };
}

/** A script that answers one opcode otherwise. */
export const when = (opcode: number, answer: Answer) => ({
  script: (request: Request) => (request.opcode === opcode ? answer : undefined),
});
