// Exports the mutable globals of an image under their names with a "$" before: they are a part of a
// machine's state, which snapshots save. The host checks that none is missing (host/snapshot).

/** Runs after the last pass that adds globals; later ones keep what is exported. */
export function exportGlobals(binaryen, module) {
  for (let i = 0; i < module.getNumGlobals(); i++) {
    const { name, mutable } = binaryen.getGlobalInfo(module.getGlobalByIndex(i));
    if (mutable) module.addGlobalExport(name, `$${name}`);
  }
}
