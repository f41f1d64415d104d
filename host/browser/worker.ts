// The program of a machine's Worker: torito/browser/worker.
import { MachineHost, type WorkerScope } from "./machine-host.ts";

new MachineHost(globalThis as unknown as WorkerScope);
