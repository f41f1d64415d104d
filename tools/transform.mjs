// The kernel's part of a compilation: no managed allocation, switch functions kept out of line,
// optimise, Asyncify. asc's own optimiser runs afterwards, so a release image is optimised on both
// sides of the pass (which halves the cost of a switch).
import { readFileSync } from "node:fs";
import { libraryFiles } from "assemblyscript/asc";
import { Transform } from "assemblyscript/transform";
import { forbiddenCalls } from "./ban.mjs";
import { exportGlobals } from "./globals.mjs";
import { checkLeaves, frames, upcalls } from "./leaves.mjs";

for (const [file, ours] of [
  ["rt/stub", "stub"],
  ["bindings/dom", "dom"],
]) {
  libraryFiles[file] = readFileSync(new URL(`../kernel/rt/${ours}.ts`, import.meta.url), "utf8");
}

/** Runs one binaryen pass; asc's optimise() clears pass arguments, so they are set just before. */
function runPass(binaryen, module, name, args) {
  for (const [key, value] of Object.entries(args)) binaryen.setPassArgument(key, value);
  module.runPasses([name]);
  binaryen.clearPassArguments();
}

/** @param {{ optimize: boolean, leaves: readonly string[] }} options */
export function kernelTransform({ optimize, leaves }) {
  return class KernelTransform extends Transform {
    afterCompile(module) {
      const { binaryen } = this; // set only because asc makes the instance itself
      const forbidden = forbiddenCalls(module.emitText());
      if (forbidden.length > 0) throw new Error(forbidden.join("\n"));
      // asc gives a call whose result is dropped no place of its own; it is the statement's.
      module.runPasses(["propagate-debug-locs"]);
      // panic stays a frame of its own, so that the one that failed has its own line on the stack.
      for (const name of ["*arch_*", "kernel/panic/panic", ...frames, ...upcalls, ...leaves]) {
        runPass(binaryen, module, "no-inline", { "no-inline": name });
      }
      if (optimize) {
        binaryen.setOptimizeLevel(3);
        binaryen.setShrinkLevel(0);
        module.optimize();
      }
      // No host import may unwind, only the intrinsics do.
      const atomic = upcalls.filter((name) => module.getFunction(name) !== 0);
      runPass(binaryen, module, "asyncify", {
        "asyncify-imports": "env.none",
        "asyncify-removelist": atomic.join(","),
      });
      exportGlobals(binaryen, module);
      checkLeaves(module.emitText(), leaves);
    }
  };
}
