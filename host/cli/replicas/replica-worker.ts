// The thread of a replica.
import { loadMachines } from "../load.ts";

await loadMachines();
const { live } = await import("./life.ts");
await live();
