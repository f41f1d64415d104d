// All that saving a machine takes.
export { MachineState } from "./machine-state.ts";
export { whileQuiet } from "./quiesce.ts";
