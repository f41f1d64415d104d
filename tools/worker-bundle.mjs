// The program of a machine's Worker as files: worker.js imports parts/machine.js, which is the
// machine, and loads the other parts when they are asked for.
import { rolldown } from "rolldown";
import { root } from "./names.mjs";

/**
 * Its files, minified.
 *
 * @returns {Promise<readonly { fileName: string, code: string, imports: readonly string[] }[]>}
 */
export async function bundleWorker() {
  const bundle = await rolldown({
    input: `${root}host/browser/worker.ts`,
    platform: "browser",
    transform: { target: "es2022" },
  });
  const { output } = await bundle.generate({
    format: "es",
    minify: true,
    entryFileNames: "[name].js",
    chunkFileNames: "parts/[name].js",
    // Otherwise there is a file for what each two parts have in common.
    codeSplitting: { groups: [{ name: "machine", test: /machine-host\.ts$/ }] },
  });
  await bundle.close();
  return output.filter((file) => file.type === "chunk");
}
