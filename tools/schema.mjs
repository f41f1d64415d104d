// Writes torito.schema.json, which editors read, from the table of options: node tools/schema.mjs
import { writeFileSync } from "node:fs";
import { configSchema } from "../dist/host/cli/config/schema.js";

const path = new URL("../torito.schema.json", import.meta.url);
writeFileSync(path, `${JSON.stringify(configSchema(), null, 2)}\n`);
