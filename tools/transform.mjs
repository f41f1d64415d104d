// The kernel's part of a compilation: no managed allocation, switch functions kept out of line,
// optimise, Asyncify. asc's own optimiser runs afterwards, so a release image is optimised on both
// sides of the pass (which halves the cost of a switch).
import { forbiddenCalls } from "./ban.mjs";
import { CompileError, diagnosticOf } from "./diagnostics.mjs";
import { exportGlobals } from "./globals.mjs";
import { checkLeaves, frames, upcalls } from "./leaves.mjs";
import { PACKAGE } from "./names.mjs";

/** Runs one binaryen pass; asc's optimise() clears pass arguments, so they are set just before. */
function runPass(binaryen, module, name, args) {
  for (const [key, value] of Object.entries(args)) binaryen.setPassArgument(key, value);
  module.runPasses([name]);
  binaryen.clearPassArguments();
}

/**
 * Binaryen's options are global, and asc sets them only when it optimises, after our first pass:
 * without this an image depends on what was compiled before it in the process. The numbers are
 * those of asc's own optimize(), levels apart.
 */
function setOptions(binaryen, optimize) {
  binaryen.setOptimizeLevel(optimize ? 3 : 0);
  binaryen.setShrinkLevel(0);
  binaryen.setDebugInfo(true);
  binaryen.setZeroFilledMemory(true);
  binaryen.setFastMath(true);
  binaryen.setAlwaysInlineMaxSize(12);
  binaryen.setFlexibleInlineMaxSize(70);
  binaryen.setOneCallerInlineMaxSize(200);
  binaryen.setAllowInliningFunctionsWithLoops(true);
  binaryen.setPassArgument("partial-inlining-ifs", "4");
}

/**
 * `ban`: look for forbidden calls. Leaves are a matter of speed, so only optimised images have
 * them checked.
 * @param {{ optimize: boolean, ban: boolean, leaves: readonly string[] }} options
 */
export function kernelTransform({ optimize, ban, leaves }) {
  return class KernelTransform {
    afterCompile(module) {
      const { binaryen } = this; // set only because asc makes the instance itself
      const forbidden = ban ? forbiddenCalls(module.emitText()) : [];
      if (forbidden.length > 0) throw new CompileError(forbidden.map(diagnosticOf));
      // asc gives a call whose result is dropped no place of its own; it is the statement's.
      module.runPasses(["propagate-debug-locs"]);
      // panic stays a frame of its own, so that the one that failed has its own line on the stack.
      const apart = ["*arch_*", `${PACKAGE}kernel/panic/panic`, ...frames, ...upcalls, ...leaves];
      if (optimize) {
        for (const name of apart) runPass(binaryen, module, "no-inline", { "no-inline": name });
      }
      setOptions(binaryen, optimize);
      if (optimize) module.optimize();
      // No host import may unwind, only the intrinsics do.
      const atomic = upcalls.filter((name) => module.getFunction(name) !== 0);
      runPass(binaryen, module, "asyncify", {
        "asyncify-imports": "env.none",
        "asyncify-removelist": atomic.join(","),
      });
      exportGlobals(binaryen, module);
      if (optimize) checkLeaves(module.emitText(), leaves);
    }
  };
}
