// Exports the mutable globals of an image as $0, $1, ...: they are a part of a machine's state,
// which snapshots save. Their own names would make WebServer's image 2 KB larger. The host checks
// that none is missing (host/snapshot).

/** Runs after the last pass that adds globals; later ones keep what is exported. */
export function exportGlobals(binaryen, module) {
  let exported = 0;
  for (let i = 0; i < module.getNumGlobals(); i++) {
    const { name, mutable } = binaryen.getGlobalInfo(module.getGlobalByIndex(i));
    if (mutable) module.addGlobalExport(name, `$${exported++}`);
  }
}
